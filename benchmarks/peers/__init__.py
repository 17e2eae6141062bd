"""Other servers for the same load: each reads events from its standard input."""
