"""Client of the HTTP API, and its output on a terminal."""
