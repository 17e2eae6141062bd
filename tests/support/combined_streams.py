"""Addresses of combined streams, and what a viewer of one has seen of each part."""

import json
from typing import Any
from urllib.parse import urlencode

from tests.support.viewers import Viewer


def combined(*parts: str, **cursors: str) -> str:
    """Return the address of a combined stream; cursors are of the parts in their order."""
    pairs = [("part", part) for part in parts]
    pairs += [("cursor", cursor) for cursor in cursors.values()]
    return f"/api/stream?{urlencode(pairs)}"


def events_of(viewer: Viewer, part: str) -> list[tuple[str, Any]]:
    """Return the names and data of the events of a part."""
    found = [(event.event, json.loads(event.data)) for event in viewer.events]
    return [(name, data) for name, data in found if data.get("part") == part]


def lines_of(viewer: Viewer, part: str) -> list[str]:
    """Return the lines of a log's part."""
    return [data["line"] for name, data in events_of(viewer, part) if name == "log"]


def last_id(viewer: Viewer, part: str) -> str:
    """Return the cursor that a client keeps for a part: the id of its last event with one."""
    last = before = ""
    for event in viewer.events:
        if event.event_id != before and json.loads(event.data).get("part") == part:
            last = event.event_id
        before = event.event_id
    return f"{part},{last}"
