"""Live view of a Marianne conductor, as Server-Sent Events."""

from marianne_stream.version import VERSION

__version__ = VERSION

__all__ = ["__version__"]
