"""The terminal's side: reads a server over HTTP, and shows what it says.

It must not know where options and tokens come from, nor anything of the server's own rooms.
"""
