"""The checkout's own door: the same as `python -m marianne_stream`, with nothing installed but the dependencies."""

import sys

from marianne_stream.cli import main

if __name__ == "__main__":
    sys.exit(main())
