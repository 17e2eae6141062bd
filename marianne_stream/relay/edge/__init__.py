"""The edge's side of the relay: what others have published, read from Redis."""
