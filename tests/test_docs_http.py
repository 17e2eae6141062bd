"""The reference documents every endpoint, parameter, error and event, and no other."""

import json
import re
from collections.abc import Awaitable, Callable
from operator import attrgetter
from pathlib import Path
from typing import Any, get_args

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pydantic import TypeAdapter

from marianne_stream.app import create_app
from marianne_stream.config.settings import (
    Settings,
)
from marianne_stream.errors import MarianneStreamError
from marianne_stream.models import Sheet
from marianne_stream.schemas.event_schemas import GapReason, TimelineEventData
from marianne_stream.schemas.file_schemas import FileEntry, FileListData
from marianne_stream.schemas.job_schemas import JobDetail, JobPage, JobStatusData, JobSummary
from marianne_stream.schemas.log_schemas import (
    LogGapData,
    LogInfo,
    LogPage,
    LogPageLine,
    LogRotatedData,
)
from marianne_stream.schemas.payload import Payload
from marianne_stream.schemas.server_schemas import ReadyData
from marianne_stream.web.params import (
    ChoiceParameter,
    FlagParameter,
    NumberParameter,
    Parameter,
    TextParameter,
    TimeParameter,
)
from marianne_stream.web.routes import ROUTES, Route
from tests.support.error_classes import error_classes
from tests.support.markdown import (
    REFERENCE,
    first_cells,
    read_page,
    row,
    rows_below,
    section,
    slug,
    tables,
)

# Every named event, and the type of its data.
EVENTS: dict[str, type[Payload]] = {
    name: model for route in ROUTES for name, model in (route.events or {}).items()
}

MODELS: dict[str, type[Payload]] = {**EVENTS, "Conductor events": TimelineEventData}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_every_endpoint_is_in_the_table(route: Route) -> None:
    table = read_page(REFERENCE / "endpoints.md")
    anchor = slug(f"GET {route.path}")
    cells = row(table, f"[`{route.path}`](#{anchor})")
    forms = {"text/plain": "text", "application/json": "JSON", "application/octet-stream": "file"}
    form = forms[route.content_type]
    assert cells[2] == (form if route.events is None else "stream")


def test_reference_names_only_served_endpoints() -> None:
    headings = re.findall(r"^## GET (\S+)$", read_page(REFERENCE / "endpoints.md"), re.MULTILINE)
    assert headings == [route.path for route in ROUTES]


@pytest.mark.parametrize(
    ("route", "parameter"),
    [(route, parameter) for route in ROUTES for parameter in route.parameters],
    ids=lambda value: value.path if isinstance(value, Route) else value.name,
)
def test_every_parameter_has_its_default_and_range(route: Route, parameter: Parameter) -> None:
    text = section(REFERENCE / "endpoints.md", f"GET {route.path}")
    documented = {cells[0]: cells for cells in rows_below(text, "parameter")}
    _, default, range_, meaning = documented[f"`{parameter.name}`"]
    assert meaning
    if isinstance(parameter, NumberParameter):
        kind = ", an integer" if parameter.is_integer else parameter.unit
        assert default == str(parameter.default)
        assert range_ == f"{parameter.minimum} to {parameter.maximum}{kind}"
    elif isinstance(parameter, ChoiceParameter):
        assert range_ == ", ".join(parameter.choices)
    elif isinstance(parameter, FlagParameter):
        assert (default, range_) == (str(parameter.default).lower(), "true or false")
    elif isinstance(parameter, TimeParameter):
        assert range_ == "a time"
    else:
        assert isinstance(parameter, TextParameter)
        assert range_ == "text"
        assert ("May be repeated." in meaning) == parameter.is_repeatable


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_reference_names_only_parameters_that_are_read(route: Route) -> None:
    documented = rows_below(section(REFERENCE / "endpoints.md", f"GET {route.path}"), "parameter")
    assert first_cells(documented) == [parameter.name for parameter in route.parameters]


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.errors], ids=lambda route: route.path
)
def test_every_endpoint_lists_its_errors(route: Route) -> None:
    text = section(REFERENCE / "endpoints.md", f"GET {route.path}")
    if route.path == "/ready":
        assert "the status is 503" in " ".join(text.split())
    else:
        named = re.search(r"^Errors: ([\d, ]+)\.$", text, re.MULTILINE)
        assert named, "no line names the errors"
        assert [int(status) for status in named[1].split(", ")] == sorted(route.errors)


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.model], ids=lambda route: route.path
)
def test_example_response_matches_its_schema(route: Route) -> None:
    text = section(REFERENCE / "endpoints.md", f"GET {route.path}")
    example = re.search(r"^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert example, "there is no example"
    assert route.model is not None
    answer = route.model.model_validate_json(example[1])
    assert answer.model_dump(mode="json") == json.loads(example[1])


# Responses with more fields than an event or an entry that is documented elsewhere.
ANSWERS: dict[str, list[str]] = {
    "/api/jobs": list(JobPage.model_fields),
    "/api/jobs/{job_id}": [
        name for name in JobDetail.model_fields if name not in JobStatusData.model_fields
    ],
    "/api/jobs/{job_id}/logs/info": list(LogInfo.model_fields),
    "/api/jobs/{job_id}/logs/lines": [*LogPage.model_fields, *LogPageLine.model_fields],
    "/api/jobs/{job_id}/files": [*FileListData.model_fields, *FileEntry.model_fields],
    "/ready": list(ReadyData.model_fields),
}


@pytest.mark.parametrize("path", ANSWERS)
def test_every_response_field_is_in_a_table(path: str) -> None:
    documented = rows_below(section(REFERENCE / "endpoints.md", f"GET {path}"), "field")
    assert first_cells(documented) == ANSWERS[path]


@pytest.mark.parametrize(
    "error",
    sorted(error_classes(), key=attrgetter("__name__")),
    ids=lambda e: e.__name__,
)
def test_every_error_is_in_the_reference_with_its_status(error: type[MarianneStreamError]) -> None:
    assert [f"`{error.code}`", str(error.status)] in documented_errors()


def test_reference_names_only_existing_errors() -> None:
    ours = [
        [f"`{error.code}`", str(error.status)]
        for error in sorted(error_classes(), key=attrgetter("__name__"))
    ]
    https_own = ["`not_found`", "`method_not_allowed`", "`http_error`"]
    assert [
        pair for pair in documented_errors() if pair not in ours and pair[0] not in https_own
    ] == []


@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing"), ("POST", "/health")])
async def test_http_errors_are_in_the_reference(
    method: str,
    path: str,
    aiohttp_client: Callable[[web.Application], Awaitable[TestClient[Any, web.Application]]],
    tmp_path: Path,
) -> None:
    settings = Settings(
        conductor_socket=tmp_path / "none.sock", registry_path=tmp_path / "none.db", no_auth=True
    )
    client = await aiohttp_client(create_app(settings))
    async with client.request(method, path) as response:
        code = (await response.json())["code"]
    assert [f"`{code}`", str(response.status)] in documented_errors()


def test_each_error_is_documented_once_with_what_to_do() -> None:
    table = rows_below(read_page(REFERENCE / "errors.md"), "code")
    names = first_cells(table)
    assert len(names) == len(set(names))
    assert all(when and what_to_do for _, _, when, what_to_do in table)


def documented_errors() -> list[list[str]]:
    """Return the code and the status of each row."""
    return [cells[:2] for cells in rows_below(read_page(REFERENCE / "errors.md"), "code")]


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_is_in_the_table_with_its_streams(name: str) -> None:
    cells = row(read_page(REFERENCE / "events.md"), f"[`{name}`](#{name})")
    streams = (
        *("/api/jobs/{job_id}/stream", "/api/roster/stream", "/api/events/stream"),
        "/api/jobs/{job_id}/logs",
    )
    events = {route.path: route.events or {} for route in ROUTES}
    assert [cell == "yes" for cell in cells[1:5]] == [name in events[path] for path in streams]


def test_reference_names_only_sent_events() -> None:
    text = read_page(REFERENCE / "events.md")
    in_table = re.findall(r"^\| \[`?([\w ]+?)`?\]\(#", text, re.MULTILINE)
    headings = re.findall(r"^### (.+)$", text, re.MULTILINE)
    assert set(headings) == set(MODELS)
    assert {name.capitalize() for name in in_table} == {name.capitalize() for name in MODELS}


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.events], ids=lambda route: route.path
)
def test_every_stream_lists_its_events(route: Route) -> None:
    text = " ".join(section(REFERENCE / "endpoints.md", f"GET {route.path}").split())
    sentence = re.search(r"Events: (.*?)\. It ", text)
    assert sentence, "no sentence names the events"
    assert set(re.findall(r"`(\w+)`", sentence[1])) == set(route.events or {})
    assert ("the conductor's own" in sentence[1]) == route.has_conductor_events


@pytest.mark.parametrize("name", MODELS)
def test_every_event_has_a_table_of_its_fields(name: str) -> None:
    table = tables(section(REFERENCE / "events.md", name))[0]
    assert first_cells(table) == list(MODELS[name].model_fields)


def test_sheet_has_a_table_of_its_fields() -> None:
    table = tables(section(REFERENCE / "events.md", "job_sheets"))[1]
    # Fields for the server alone are not sent.
    sent = TypeAdapter(Sheet).json_schema(mode="serialization")["properties"]
    assert first_cells(table) == list(sent)


def test_roster_entry_has_a_table_of_its_fields() -> None:
    table = tables(section(REFERENCE / "events.md", "roster"))[1]
    assert first_cells(table) == list(JobSummary.model_fields)


@pytest.mark.parametrize("name", MODELS)
def test_example_event_matches_its_type(name: str) -> None:
    text = section(REFERENCE / "events.md", name)
    example = re.search(r"^event: (\S+)\ndata: (.+)$", text, re.MULTILINE)
    assert example, "there is no example"
    assert example[1] == name or name not in EVENTS
    data = MODELS[name].model_validate_json(example[2])
    # Fields that are left out on the wire are left out here.
    assert data.model_dump(mode="json", exclude_unset=True) == json.loads(example[2])


def test_every_gap_reason_is_in_the_reference() -> None:
    table = tables(section(REFERENCE / "events.md", "gap"))[1]
    assert set(first_cells(table)) == set(get_args(GapReason))


def test_every_log_gap_reason_is_in_the_reference() -> None:
    table = tables(section(REFERENCE / "events.md", "log_gap"))[1]
    assert first_cells(table) == list(get_args(LogGapData.model_fields["reason"].annotation))


def test_every_rotation_reason_is_in_the_reference() -> None:
    meaning = row(section(REFERENCE / "events.md", "log_rotated"), "`reason`")[2]
    reasons = get_args(LogRotatedData.model_fields["reason"].annotation)
    assert re.findall(r"`(\w+)`:", meaning) == list(reasons)
