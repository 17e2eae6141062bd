"""Request ids, and paths that are safe to log."""

import random
import re

from aiohttp import web

REQUEST_ID = web.RequestKey("REQUEST_ID", str)

# Ids that need no quoting in the log.
SAFE_ID_RE = re.compile(r"[A-Za-z0-9._-]{1,64}")


def make_request_id(client_id: str = "") -> str:
    """Return the client's own request id if it is safe to log, otherwise a new one."""
    return client_id if SAFE_ID_RE.fullmatch(client_id) else f"{random.getrandbits(64):016x}"


def loggable_path(request: web.BaseRequest) -> str:
    """Return the path as it was sent, percent-encoded and in ASCII, without its query."""
    # Decoded, it could contain line breaks or terminal escape sequences.
    return ascii(request.rel_url.raw_path)[1:-1]
