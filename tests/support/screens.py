"""Output to a terminal without a process."""

import io


class Screen(io.StringIO):
    """Stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True
