"""How the log is written: one line an occurrence, as text or as JSON, to standard error."""

import json
import logging
import sys
from datetime import UTC, datetime

from marianne_stream.config.settings import LogFormat, LogLevel


class JsonFormatter(logging.Formatter):
    """A record as one JSON object: time, level, logger, message, and any traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
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
    """Sets the least that is logged."""
    logging.getLogger().setLevel(level.upper())


def configure_logging(level: LogLevel, log_format: LogFormat) -> None:
    """Sets up the log of the whole process."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if log_format == "json" else text)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
