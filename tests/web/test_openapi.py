"""OpenAPI document: valid, and in agreement with the server."""

import asyncio
import json
import threading
from collections.abc import Iterable
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from marianne_stream.schemas.payload import Payload
from marianne_stream.web import openapi
from marianne_stream.web.routes import ROUTES
from tests.web.conftest import Client

DOCUMENT = json.loads(openapi.make_openapi_document(""))


async def request_document(client: Client) -> Any:
    async with client.get("/openapi.json") as response:
        assert response.content_type == "application/json"
        return await response.json()


def test_openapi_document_is_valid() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(DOCUMENT).validate()


async def test_openapi_document_is_not_cached(client: Client) -> None:
    async with client.get("/openapi.json") as response:
        assert response.headers["Cache-Control"] == "private, no-store"


def test_openapi_document_has_every_route() -> None:
    assert set(DOCUMENT["paths"]) == {route.path for route in ROUTES}


def test_openapi_parameters_have_range_and_default() -> None:
    stream = DOCUMENT["paths"]["/api/jobs/{job_id}/stream"]["get"]
    by_name = {parameter["name"]: parameter for parameter in stream["parameters"]}
    assert by_name["poll_interval"]["schema"] == {
        "type": "number",
        "minimum": 0.1,
        "maximum": 30.0,
        "default": 2.0,
    }
    assert by_name["job_id"]["required"]


def test_openapi_document_marks_public_routes() -> None:
    assert DOCUMENT["security"] == [{"token": []}]
    guarded = {
        path
        for path, methods in DOCUMENT["paths"].items()
        if "security" not in methods["get"] and "401" in methods["get"]["responses"]
    }
    assert set(DOCUMENT["paths"]) - guarded == {"/health"}


def test_openapi_stream_events_have_schemas() -> None:
    for methods in DOCUMENT["paths"].values():
        content = methods["get"]["responses"]["200"]["content"]
        if (stream := content.get("text/event-stream")) is not None:
            branches = stream["schema"]["allOf"]
            found = [branch["then"]["properties"]["data"]["contentSchema"] for branch in branches]
            assert found == list(stream["x-events"].values())


async def test_openapi_document_is_served(client: Client) -> None:
    assert await request_document(client) == DOCUMENT


async def test_first_openapi_document_does_not_hold_the_event_loop(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, released = threading.Event(), threading.Event()

    def make_schemas(models: Iterable[type[Payload]]) -> Any:
        begun.set()
        assert released.wait(10)
        return original(models)

    original = openapi.make_schemas
    monkeypatch.setattr(openapi, "make_schemas", make_schemas)
    openapi.make_openapi_document.cache_clear()
    document = asyncio.create_task(request_document(client))
    assert await asyncio.to_thread(begun.wait, 10)
    async with client.get("/health") as response:
        assert response.status == 200
    released.set()
    assert await document == DOCUMENT
