"""The checkout's own door: the same as `python -m marianne_stream`.

Only the dependencies need be installed.
"""

import sys

from marianne_stream.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
