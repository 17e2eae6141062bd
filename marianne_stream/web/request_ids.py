"""How the log knows a request: by its id, and by a path in which nothing can forge a line."""

import random
import re

from aiohttp import web

REQUEST_ID = web.RequestKey("REQUEST_ID", str)

# What may stand in a log without being quoted.
SAFE_ID_RE = re.compile(r"[A-Za-z0-9._-]{1,64}")


def make_request_id(client_id: str = "") -> str:
    """The id that a client gives its request, where it may stand in a log; else a new one."""
    return client_id if SAFE_ID_RE.fullmatch(client_id) else f"{random.getrandbits(64):016x}"


def loggable_path(request: web.BaseRequest) -> str:
    """The path as it was sent, percent-encoded, without its query; only characters of ASCII."""
    # Decoded, it could hold the end of a line, or what a terminal obeys.
    return ascii(request.rel_url.raw_path)[1:-1]
