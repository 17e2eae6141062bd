"""The guest at the conductor's socket: two connections at most, and the manners of a guest."""
