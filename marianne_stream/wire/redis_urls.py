"""URLs of Redis: how they begin, and how they are shown without what is secret in them. Pure.

It must not know who connects.
"""

import re

REDIS_URL = re.compile(r"(?:unix|rediss?(?:\+sentinel)?)://\S+")

# Everything up to the last `@` before the path may be a password: one with a slash or an `@` that
# somebody forgot to quote is not to be shown, either.
URL_CREDENTIALS = re.compile(r"^([a-z+]+://).*@", re.DOTALL)
SECRET_PARAMETER = re.compile(r"([?&;][a-z_]*(?:password|username)=)[^&;\s]*", re.IGNORECASE)


def redact_url(url: str) -> str:
    """A URL as it may stand in a log: `***` in the place of who signs in, and with what."""
    return SECRET_PARAMETER.sub(r"\1***", URL_CREDENTIALS.sub(r"\1***@", url))
