"""The description of the API is valid, and says what the server does."""

import json

from openapi_spec_validator import OpenAPIV31SpecValidator

from marianne_stream.web import openapi
from marianne_stream.web.routes import ROUTES
from tests.web.conftest import Client

DOCUMENT = json.loads(openapi.description())


def test_it_is_valid_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_it_has_every_route_and_no_other() -> None:
    assert set(DOCUMENT["paths"]) == {route.path for route in ROUTES}


def test_every_parameter_has_its_range_and_default() -> None:
    stream = DOCUMENT["paths"]["/api/jobs/{job_id}/stream"]["get"]
    by_name = {parameter["name"]: parameter for parameter in stream["parameters"]}
    assert by_name["poll_interval"]["schema"] == {
        "type": "number",
        "minimum": 0.1,
        "maximum": 30.0,
        "default": 2.0,
    }
    assert by_name["job_id"]["required"]


async def test_the_server_gives_it(client: Client) -> None:
    async with client.get("/openapi.json") as response:
        assert response.content_type == "application/json"
        assert await response.json() == DOCUMENT
