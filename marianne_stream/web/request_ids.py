"""How the log knows a request: by its id, and by a path in which nothing can forge a line."""

import random
import re

from aiohttp import web

REQUEST_ID = web.RequestKey("REQUEST_ID", str)

# What may stand in a log without being quoted.
SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def new_request_id(given: str = "") -> str:
    """The id that a client gives its request, where it may stand in a log; else a new one."""
    return given if SAFE_ID.fullmatch(given) else f"{random.getrandbits(64):016x}"


def path_in_log(request: web.BaseRequest) -> str:
    """The path as it was sent, percent-encoded, without its query; only characters of ASCII."""
    # Decoded, it could hold the end of a line, or what a terminal obeys.
    return ascii(request.rel_url.raw_path)[1:-1]
