"""Logging of the process: to standard error, as text or as one JSON object a line."""

import json
import logging
import sys
from datetime import UTC, datetime

from marianne_stream.config.settings import LogFormat, LogLevel


class JsonFormatter(logging.Formatter):
    """Formatter of JSON lines: time, level, logger, message, and the traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def set_log_level(level: LogLevel) -> None:
    """Set the minimum level that is logged."""
    logging.getLogger().setLevel(level.upper())


def configure_logging(level: LogLevel, log_format: LogFormat) -> None:
    """Configure the root logger."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if log_format == "json" else text)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
