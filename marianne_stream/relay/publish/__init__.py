"""The origin's side of the relay: what this server knows, written into Redis."""
