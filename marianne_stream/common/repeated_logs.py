"""Log messages that would otherwise repeat: once until recovery, or once in an interval."""

import logging
import time
from collections.abc import Callable


class WarnOnce:
    """Logs a problem once, and again only if it changes or comes back after a recovery."""

    def __init__(self, logger: logging.Logger, level: int = logging.WARNING) -> None:
        self._logger = logger
        self._level = level
        self._logged: str | None = None

    @property
    def has_warned(self) -> bool:
        """True if the problem was logged since the last recovery."""
        return self._logged is not None

    def warn(self, message: str, *args: object) -> None:
        """Log a problem, unless the same text was logged since the last recovery."""
        text = message % args if args else message
        if text != self._logged:
            self._logged = text
            self._logger.log(self._level, "%s", text)

    def recover(self, message: str = "", *args: object) -> None:
        """End the problem. If it was logged, log the recovery too, unless `message` is empty."""
        if self._logged is not None and message:
            self._logger.info(message, *args)
        self._logged = None


class LogLimiter:
    """Allows a message once in an interval."""

    def __init__(self, interval_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._last_at: float | None = None

    def is_due(self) -> bool:
        """Return whether a message may be logged now; if so, the interval begins again."""
        now = self._clock()
        if self._last_at is not None and now - self._last_at < self._interval_s:
            return False
        self._last_at = now
        return True
