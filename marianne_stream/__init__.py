"""The live window onto a Marianne conductor, as Server-Sent Events."""

__version__ = "0.1.0"
