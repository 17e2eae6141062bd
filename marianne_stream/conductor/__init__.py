"""Client of the conductor's socket: requests in short visits, and the event subscription."""
