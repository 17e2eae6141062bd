"""Entry point of `python -m marianne_stream`."""

import sys

from marianne_stream.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
