"""OpenAPI document: valid, and in agreement with the server."""

import json

from openapi_spec_validator import OpenAPIV31SpecValidator

from marianne_stream.web import openapi
from marianne_stream.web.routes import ROUTES
from tests.web.conftest import Client

DOCUMENT = json.loads(openapi.make_openapi_document())


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
    async with client.get("/openapi.json") as response:
        assert response.content_type == "application/json"
        assert await response.json() == DOCUMENT
