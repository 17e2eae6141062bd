"""Pages of the log of the test job `lantern`."""

from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient

from tests.support.log_lines import LOGS

Client = TestClient[web.Request, web.Application]

LINES = f"{LOGS}/lines"


async def get_page(client: Client, *, start: str | None = None, **params: str) -> dict[str, Any]:
    """Return a page; `start` is the parameter `from`, a keyword of Python."""
    if start is not None:
        params["from"] = start
    answer = await client.get(LINES, params=params)
    assert answer.status == 200, await answer.text()
    told: dict[str, Any] = await answer.json()
    return told


def page_texts(page: dict[str, Any]) -> list[str]:
    """Return the text of the lines of a page."""
    return [line["line"] for line in page["lines"]]
