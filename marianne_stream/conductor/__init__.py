"""The conductor's socket: requests in short visits, and one subscription to its events."""
