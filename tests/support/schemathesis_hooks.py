"""A hook of schemathesis: each request comes from a client of its own, as a trusted proxy tells.

Else its wrong tokens, all of one address, would be answered ever later.
"""

import itertools
from typing import Any

import schemathesis

CLIENT_NUMBERS = itertools.count(1)


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Names another client each time."""
    number = next(CLIENT_NUMBERS)
    case.headers = {
        **(case.headers or {}),
        "X-Forwarded-For": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
    }
