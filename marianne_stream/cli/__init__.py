"""The verbs of the command line, a module each: its options, and what it begins."""
