"""How many logs are given as files at once. It must not know which."""

from collections.abc import Iterator
from contextlib import contextmanager

from marianne_stream.errors import TooManyDownloadsError


class Downloads:
    """Counts open downloads.

    Args:
        most: how many there may be at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.open = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Counts a download for as long as the context lasts.

        Raises:
            TooManyDownloadsError: there are as many as there may be.
        """
        if self.open >= self._most:
            raise TooManyDownloadsError
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1
