"""Redis URLs: their form, and how to log them without secrets."""

import re

REDIS_URL = re.compile(r"(?:unix|rediss?(?:\+sentinel)?)://\S+")

# Everything up to the last `@`, since a password may hold an unquoted slash or `@`.
URL_CREDENTIALS = re.compile(r"^([a-z+]+://).*@", re.DOTALL)
SECRET_PARAMETER = re.compile(r"([?&;][a-z_]*(?:password|username)=)[^&;\s]*", re.IGNORECASE)


def redact_url(url: str) -> str:
    """Return a URL for logs, with `***` in place of user name and password."""
    return SECRET_PARAMETER.sub(r"\1***", URL_CREDENTIALS.sub(r"\1***@", url))
