"""What others use for the same: each reads events from its standard input, and streams them."""
