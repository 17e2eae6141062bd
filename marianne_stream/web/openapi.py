"""OpenAPI 3.1 document, generated from the routes and the schemas."""

import asyncio
import json
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

from marianne_stream.schemas.event_schemas import TimelineEventData
from marianne_stream.schemas.payload import Payload
from marianne_stream.schemas.server_schemas import ErrorData
from marianne_stream.version import VERSION
from marianne_stream.web.auth_middleware import PUBLIC_PATHS
from marianne_stream.web.routes import ROUTES, Route

REF_TEMPLATE = "#/components/schemas/{model}"

JOB_ID_PARAMETER = {
    "name": "job_id",
    "in": "path",
    "required": True,
    "description": "Percent-encoded; any characters but / and NUL after decoding.",
    "schema": {"type": "string", "pattern": r"^[^/\u0000]+$"},
}

PATH_PARAMETERS = {
    "run": {
        "name": "run",
        "in": "path",
        "required": True,
        "description": "Name of the run, or `latest`.",
        "schema": {"type": "string", "pattern": "^[^/]+$"},
    },
    "path": {
        "name": "path",
        "in": "path",
        "required": True,
        "description": "Path below the workspace, percent-encoded; slashes may be as they are.",
        "schema": {"type": "string", "minLength": 1},
    },
    "number": {
        "name": "number",
        "in": "path",
        "required": True,
        "description": "Number of the sheet.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 999_999_999},
    },
}

# Errors of every path, which precede its handler.
COMMON_ERRORS = {421: "The request is for a host name that is not the server's."}
AUTHENTICATED_ERRORS = {
    401: "No token, or one that is not known.",
    429: "Too much is asked for at once, or too many failed attempts wait.",
    503: "The server is about to end.",
}


async def load_openapi_document(root_path: str) -> bytes:
    """Return the document, which is made in a thread when it is first requested: it takes 13 ms."""
    return await asyncio.to_thread(make_openapi_document, root_path)


@cache
def make_openapi_document(root_path: str) -> bytes:
    """Make the document of a server below a path as JSON."""
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "marianne-stream",
            "version": VERSION,
            "description": "The live window onto a Marianne conductor: status and events as "
            "Server-Sent Events, and the same as JSON.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": root_path or "/"}],
        "paths": {route.path: {"get": make_operation(route)} for route in ROUTES},
        "components": {
            "schemas": make_schemas(collect_models()),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }
    return json.dumps(document, indent=1).encode()


def collect_models() -> Iterable[type[Payload]]:
    """Return every model of a response or an event, once."""
    found: dict[type[Payload], None] = {ErrorData: None, TimelineEventData: None}
    for route in ROUTES:
        if route.model is not None:
            found[route.model] = None
        found.update(dict.fromkeys((route.events or {}).values()))
    return found


def make_schemas(models: Iterable[type[Payload]]) -> Any:
    """Return the JSON schemas of the models, by name."""
    _, definitions = models_json_schema(
        [(model, "serialization") for model in models], ref_template=REF_TEMPLATE
    )
    return definitions["$defs"]


def make_operation(route: Route) -> dict[str, Any]:
    """Return the operation object of a route."""
    parameters = [parameter.to_openapi() for parameter in route.parameters]
    if "{job_id}" in route.path:
        parameters.insert(0, JOB_ID_PARAMETER)
    for name, parameter in PATH_PARAMETERS.items():
        if f"{{{name}}}" in route.path:
            parameters.insert(1, parameter)
    name = re.sub(r"\W+", "_", route.path.replace("{job_id}", "job")).strip("_")
    is_open = route.path in PUBLIC_PATHS
    errors = {**COMMON_ERRORS, **({} if is_open else AUTHENTICATED_ERRORS), **route.errors}
    return {
        "operationId": name,
        "summary": route.summary,
        "parameters": parameters,
        **({"security": []} if is_open else {}),
        "responses": {
            "200": make_success_response(route),
            **(
                {"204": {"description": "Nothing new will come."}} if has_final_event(route) else {}
            ),
            **{
                str(status): make_error_response(errors[status], status, route)
                for status in sorted(errors)
            },
        },
    }


def make_success_response(route: Route) -> dict[str, Any]:
    """Return the response object of status 200."""
    if route.events is not None:
        return {
            "description": "An event stream.",
            "content": {"text/event-stream": make_stream_content(route)},
        }
    schema = make_schema_ref(route.model) if route.model is not None else {"type": "object"}
    if route.content_type != "application/json":
        schema = {"type": "string"}
    return {"description": "As asked.", "content": {route.content_type: {"schema": schema}}}


def make_stream_content(route: Route) -> dict[str, Any]:
    """Return the media type object of a stream, with the schema of each event's data."""
    events = {name: make_schema_ref(model) for name, model in (route.events or {}).items()}
    if route.has_conductor_events:
        events["*"] = make_schema_ref(TimelineEventData)
    return {"schema": make_event_schema(events), "x-events": events}


def make_event_schema(events: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Return the schema of one event of a stream; `*` stands for all other names.

    OpenAPI 3.2 has `itemSchema` for this. Tools for 3.1 read it from here.
    """
    names = [name for name in events if name != "*"]
    also = ", and the conductor's own events under their own names" if "*" in events else ""
    named = {"enum": names}
    text = {"type": "string"}
    return {
        "type": "object",
        "description": f"One Server-Sent Event of: {', '.join(names)}{also}.",
        "required": ["event", "data"],
        "properties": {
            "event": text if "*" in events else {**text, **named},
            "data": {**text, "contentMediaType": "application/json"},
            "id": text,
        },
        "allOf": [
            {
                "if": {"properties": {"event": {"not": named} if name == "*" else {"const": name}}},
                "then": {
                    "properties": {
                        "data": {"contentMediaType": "application/json", "contentSchema": schema}
                    }
                },
            }
            for name, schema in events.items()
        ],
    }


def make_error_response(description: str, status: int, route: Route) -> dict[str, Any]:
    """Return the response object of an error. A 503 of `/ready` has its own schema."""
    own = route.model if route.path == "/ready" and status in route.errors else None
    return {
        "description": description,
        "content": {"application/json": {"schema": make_schema_ref(own or ErrorData)}},
    }


def make_schema_ref(model: type[Payload]) -> dict[str, str]:
    """Return a reference to a model's schema."""
    return {"$ref": REF_TEMPLATE.format(model=model.__name__)}


def has_final_event(route: Route) -> bool:
    """Return whether a stream can have ended before it begins, which a 204 says."""
    return bool({"job_finished", "log_complete"} & set(route.events or {}))
