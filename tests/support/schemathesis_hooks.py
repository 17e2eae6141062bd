"""Schemathesis hook: each request has another client address, as from a trusted proxy.

Otherwise the login throttle would delay its invalid tokens more and more.
"""

import itertools
from typing import Any

import schemathesis

CLIENT_NUMBERS = itertools.count(1)


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Set the next client address."""
    number = next(CLIENT_NUMBERS)
    case.headers = {
        **(case.headers or {}),
        "X-Forwarded-For": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
    }
