"""The reference documents everything that exists in the code, and nothing else."""

import json
import re
from argparse import SUPPRESS, Action
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any, get_args

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from marianne_stream.app import create_app
from marianne_stream.cli import client_command
from marianne_stream.cli.commands import COMMANDS, make_parser
from marianne_stream.cli.main import EXIT_SIGINT
from marianne_stream.client import runner
from marianne_stream.client.watched_job import EXIT_SEVERITY
from marianne_stream.config.settings import (
    ENV_PREFIX,
    Settings,
    describe_allowed,
    describe_default,
    option_name,
)
from marianne_stream.errors import CliError, MarianneStreamError, SettingsError
from marianne_stream.models import Sheet
from marianne_stream.schemas import (
    GapReason,
    JobDetail,
    JobPage,
    JobStatusData,
    JobSummary,
    LogGapData,
    LogInfo,
    LogPage,
    LogPageLine,
    LogRotatedData,
    Payload,
    ReadyData,
    TimelineEventData,
)
from marianne_stream.web.params import ChoiceParameter, FlagParameter, NumberParameter, Parameter
from marianne_stream.web.routes import ROUTES, Route

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
COMMANDS_PAGE = REFERENCE / "commands.md"
PAGES = sorted(DOCS.rglob("*.md"))
SERVER_VERBS = ("serve", "demo", "check", "token")
TERMINAL_VERBS = ("jobs", "watch", "logs", "events", "completion")
BENCHMARKS = ROOT / "benchmarks"
LINKED_PAGES = [*PAGES, *sorted(ROOT.glob("*.md")), BENCHMARKS / "README.md"]

# Every named event, and the type of its data.
EVENTS: dict[str, type[Payload]] = {
    name: model for route in ROUTES for name, model in (route.events or {}).items()
}
MODELS: dict[str, type[Payload]] = {**EVENTS, "Conductor events": TimelineEventData}

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(\s*([^)\s]+)\s*\)")


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def without_code(text: str) -> str:
    """Return a page without its code blocks, whose lines are not headings or links."""
    return FENCE.sub("", text)


def section(path: Path, title: str) -> str:
    """Return the text below a heading, up to the next heading of its level or above."""
    text = text_of(path)
    found = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert found, f"{path.name} has no heading {title!r}"
    level = len(found[1])
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{level}}} ", FENCE.sub(blanked, rest), re.MULTILINE)
    return rest[: end.start()] if end else rest


def blanked(match: re.Match[str]) -> str:
    """Return blanks for a match, so that positions stay the same."""
    return " " * len(match[0])


def tables(text: str) -> list[list[list[str]]]:
    """Return the tables in a text: a list of rows without the head, each a list of cells."""
    found = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    return [[cells_of(line) for line in table.splitlines()[2:]] for table in found]


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def table_of(text: str, head: str) -> list[list[str]]:
    """Return the rows of the tables whose first column has this head."""
    found = re.findall(rf"^\| {head} \|.*\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [cells_of(line) for table in found for line in table.splitlines()[1:]]


def rows(text: str) -> list[list[str]]:
    """Return the rows of all tables in a text."""
    return [cells for table in tables(text) for cells in table]


def names_in(table: list[list[str]]) -> list[str]:
    """Return the names in the first cells of a table."""
    return [cells[0].strip("`") for cells in table]


def row(text: str, first: str) -> list[str]:
    """Return the row with this first cell."""
    found = [cells for cells in rows(text) if cells[0] == first]
    assert len(found) == 1, f"{len(found)} rows begin with {first}, expected one"
    return found[0]


def slug(heading: str) -> str:
    """Return the anchor of a heading on GitHub."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def error_classes(root: type[MarianneStreamError]) -> Iterator[type[MarianneStreamError]]:
    yield root
    for child in root.__subclasses__():
        yield from error_classes(child)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_in_the_reference(name: str) -> None:
    default = describe_default(name)
    written = default if default == "none" or " " in default else f"`{default}`"
    cells = row(text_of(REFERENCE / "settings.md"), f"`{name}`")
    assert cells[1:4] == [f"`{option_name(name)}`", f"`{ENV_PREFIX}{name.upper()}`", written]
    assert cells[4] == describe_allowed(name)
    assert cells[5]


def test_the_reference_has_no_setting_that_is_none() -> None:
    documented = re.findall(rf"`{ENV_PREFIX}(\w+)`", text_of(REFERENCE / "settings.md"))
    assert {name.lower() for name in documented} == set(Settings.model_fields)


def test_the_reference_has_all_commands_and_no_other() -> None:
    commands = table_of(text_of(COMMANDS_PAGE), "command")
    assert [cells[0] for cells in commands] == [f"[`{name}`](#{name})" for name in COMMANDS]
    assert all(section(COMMANDS_PAGE, name).strip() for name in COMMANDS)


@pytest.mark.parametrize("verb", SERVER_VERBS)
def test_every_option_of_a_server_command_is_in_the_reference(verb: str) -> None:
    text = section(COMMANDS_PAGE, verb)
    prose = " ".join(text.split())
    options = options_of(verb)
    settings = {name for name, action in options.items() if action.dest in Settings.model_fields}
    shared = table_of(section(COMMANDS_PAGE, "Options of the server commands"), "option")
    documented = {cells[0] for cells in shared + table_of(text, "option")}
    assert documented == options.keys() - settings
    taken = {options[name].dest for name in settings}
    sentence = re.search(r"Takes the settings ([^.]+)\.", prose)
    if sentence is None:
        assert "Takes all settings." in prose
        assert taken == set(Settings.model_fields)
    else:
        assert set(re.findall(r"`(\w+)`", sentence[1])) == taken


def options_of(verb: str) -> dict[str, Action]:
    """Return the options and arguments of a terminal command, as the reference writes them."""
    actions = make_parser(verb, COMMANDS[verb].load())._actions
    shown = [action for action in actions if action.help != SUPPRESS and action.dest != "help"]
    return {written_option(action): action for action in shown}


def written_option(action: Action) -> str:
    """Return each form of an option with its value, or the name of an argument."""
    value = (
        "" if action.nargs == 0 or action.choices else f" {action.metavar or action.dest.upper()}"
    )
    forms = [f"`{option}{value}`" for option in action.option_strings]
    return ", ".join(forms) or f"`{action.metavar or action.dest}`"


@pytest.mark.parametrize("verb", TERMINAL_VERBS)
def test_every_option_of_the_terminal_is_in_the_reference(verb: str) -> None:
    shared = rows(section(COMMANDS_PAGE, "Options of the client commands"))
    own = rows(section(COMMANDS_PAGE, verb))
    documented = {cells[0]: cells for cells in (own if verb == "completion" else own + shared)}
    options = options_of(verb)
    assert documented.keys() == options.keys()
    for name, action in options.items():
        choices = ", ".join(action.choices or ())
        assert choices in " | ".join(documented[name]), name
        assert action.help


def test_every_exit_code_of_the_server_commands_is_in_the_reference() -> None:
    text = section(COMMANDS_PAGE, "Exit codes of the server commands")
    errors = {MarianneStreamError.exit_code, SettingsError.exit_code}
    assert {int(cells[0]) for cells in rows(text)} == {0, EXIT_SIGINT} | errors


def test_every_exit_code_of_the_terminal_is_in_the_reference() -> None:
    documented = {
        int(cells[0]) for cells in rows(section(COMMANDS_PAGE, "Exit codes of the client commands"))
    }
    signals = {runner.EXIT_SIGINT, runner.EXIT_SIGTERM, runner.EXIT_SIGPIPE}
    errors = {error.exit_code for error in error_classes(CliError)}
    assert documented == set(EXIT_SEVERITY) | errors | signals


def test_every_variable_of_the_terminal_is_in_its_reference() -> None:
    documented = set(re.findall(r"MARIANNE_STREAM_\w+", text_of(COMMANDS_PAGE)))
    assert documented == {
        client_command.URL_ENV,
        client_command.TOKEN_ENV,
        client_command.TOKEN_FILE_ENV,
        client_command.DATA_DIR_ENV,
    }


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_every_address_is_in_the_route_table(route: Route) -> None:
    table = text_of(REFERENCE / "endpoints.md")
    anchor = slug(f"GET {route.path}")
    cells = row(table, f"[`{route.path}`](#{anchor})")
    form = "text" if route.content_type == "text/plain" else "JSON"
    assert cells[2] == (form if route.events is None else "stream")


def test_the_reference_has_no_address_that_is_not_served() -> None:
    headings = re.findall(r"^## GET (\S+)$", text_of(REFERENCE / "endpoints.md"), re.MULTILINE)
    assert headings == [route.path for route in ROUTES]


@pytest.mark.parametrize(
    ("route", "parameter"),
    [(route, parameter) for route in ROUTES for parameter in route.parameters],
    ids=lambda value: value.path if isinstance(value, Route) else value.name,
)
def test_every_parameter_has_its_default_and_range(route: Route, parameter: Parameter) -> None:
    text = section(REFERENCE / "endpoints.md", f"GET {route.path}")
    documented = {cells[0]: cells for cells in table_of(text, "parameter")}
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
    else:
        assert range_ == "text"
        assert ("May be repeated." in meaning) == parameter.is_repeatable


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_no_address_has_a_parameter_that_it_does_not_read(route: Route) -> None:
    documented = table_of(section(REFERENCE / "endpoints.md", f"GET {route.path}"), "parameter")
    assert names_in(documented) == [parameter.name for parameter in route.parameters]


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.errors], ids=lambda route: route.path
)
def test_every_address_names_the_errors_that_it_gives(route: Route) -> None:
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
def test_the_example_of_an_answer_is_one_that_the_server_could_give(route: Route) -> None:
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
    "/ready": list(ReadyData.model_fields),
}


@pytest.mark.parametrize("path", ANSWERS)
def test_every_field_of_an_answer_is_in_a_table(path: str) -> None:
    documented = table_of(section(REFERENCE / "endpoints.md", f"GET {path}"), "field")
    assert names_in(documented) == ANSWERS[path]


@pytest.mark.parametrize(
    "error",
    sorted(set(error_classes(MarianneStreamError)), key=attrgetter("__name__")),
    ids=lambda e: e.__name__,
)
def test_every_error_is_in_the_reference_with_its_status(error: type[MarianneStreamError]) -> None:
    assert [f"`{error.code}`", str(error.status)] in documented_errors()


def test_the_reference_has_no_error_that_is_never_given() -> None:
    ours = [
        [f"`{error.code}`", str(error.status)]
        for error in sorted(error_classes(MarianneStreamError), key=attrgetter("__name__"))
    ]
    https_own = ["`not_found`", "`method_not_allowed`", "`http_error`"]
    assert [
        pair for pair in documented_errors() if pair not in ours and pair[0] not in https_own
    ] == []


@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing"), ("POST", "/health")])
async def test_the_errors_of_http_itself_are_in_the_reference(
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
    table = table_of(text_of(REFERENCE / "errors.md"), "code")
    names = names_in(table)
    assert len(names) == len(set(names))
    assert all(when and what_to_do for _, _, when, what_to_do in table)


def documented_errors() -> list[list[str]]:
    """Return the code and the status of each row."""
    return [cells[:2] for cells in table_of(text_of(REFERENCE / "errors.md"), "code")]


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_is_in_the_table_with_its_streams(name: str) -> None:
    cells = row(text_of(REFERENCE / "events.md"), f"[`{name}`](#{name})")
    streams = (
        *("/api/jobs/{job_id}/stream", "/api/roster/stream", "/api/events/stream"),
        "/api/jobs/{job_id}/logs",
    )
    events = {route.path: route.events or {} for route in ROUTES}
    assert [cell == "yes" for cell in cells[1:5]] == [name in events[path] for path in streams]


def test_the_reference_has_no_event_that_is_never_sent() -> None:
    text = text_of(REFERENCE / "events.md")
    in_table = re.findall(r"^\| \[`?([\w ]+?)`?\]\(#", text, re.MULTILINE)
    headings = re.findall(r"^### (.+)$", text, re.MULTILINE)
    assert set(headings) == set(MODELS)
    assert {name.capitalize() for name in in_table} == {name.capitalize() for name in MODELS}


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.events], ids=lambda route: route.path
)
def test_every_stream_names_its_events(route: Route) -> None:
    text = " ".join(section(REFERENCE / "endpoints.md", f"GET {route.path}").split())
    sentence = re.search(r"Events: (.*?)\. It ", text)
    assert sentence, "no sentence names the events"
    assert set(re.findall(r"`(\w+)`", sentence[1])) == set(route.events or {})
    assert ("the conductor's own" in sentence[1]) == route.has_conductor_events


@pytest.mark.parametrize("name", MODELS)
def test_every_event_has_a_table_of_its_fields(name: str) -> None:
    table = tables(section(REFERENCE / "events.md", name))[0]
    assert names_in(table) == list(MODELS[name].model_fields)


def test_a_sheet_has_a_table_of_its_fields() -> None:
    table = tables(section(REFERENCE / "events.md", "job_sheets"))[1]
    assert names_in(table) == [field.name for field in fields(Sheet)]


def test_an_entry_of_the_roster_has_a_table_of_its_fields() -> None:
    table = tables(section(REFERENCE / "events.md", "roster"))[1]
    assert names_in(table) == list(JobSummary.model_fields)


@pytest.mark.parametrize("name", MODELS)
def test_the_example_of_an_event_is_one_that_the_server_could_send(name: str) -> None:
    text = section(REFERENCE / "events.md", name)
    example = re.search(r"^event: (\S+)\ndata: (.+)$", text, re.MULTILINE)
    assert example, "there is no example"
    assert example[1] == name or name not in EVENTS
    data = MODELS[name].model_validate_json(example[2])
    # Fields that are left out on the wire are left out here.
    assert data.model_dump(mode="json", exclude_unset=True) == json.loads(example[2])


def test_every_reason_of_a_gap_is_in_the_reference() -> None:
    table = tables(section(REFERENCE / "events.md", "gap"))[1]
    assert set(names_in(table)) == set(get_args(GapReason))


def test_every_reason_of_a_log_gap_is_in_the_reference() -> None:
    table = tables(section(REFERENCE / "events.md", "log_gap"))[1]
    assert names_in(table) == list(get_args(LogGapData.model_fields["reason"].annotation))


def test_every_reason_of_a_rotation_is_in_the_reference() -> None:
    meaning = row(section(REFERENCE / "events.md", "log_rotated"), "`reason`")[2]
    reasons = get_args(LogRotatedData.model_fields["reason"].annotation)
    assert re.findall(r"`(\w+)`:", meaning) == list(reasons)


@pytest.mark.parametrize("page", LINKED_PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_something_in_the_repository(page: Path) -> None:
    for target in LINK.findall(without_code(text_of(page))):
        if re.match(r"https?:", target) and page not in PAGES:
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.is_relative_to(ROOT), f"{target} leads out of the repository"
        assert path.is_file(), f"{target} leads nowhere"
        if anchor:
            headings = HEADING.findall(without_code(text_of(path)))
            assert anchor in {slug(heading) for _, heading in headings}, f"{target} has no heading"


def test_every_page_can_be_found_from_the_index() -> None:
    index = DOCS / "index.md"
    targets = {
        (DOCS / target.partition("#")[0]).resolve() for target in LINK.findall(text_of(index))
    }
    assert set(PAGES) - targets == {index}


@pytest.mark.parametrize("page", [DOCS / "performance.md", BENCHMARKS / "README.md"])
def test_every_benchmark_that_a_page_names_exists(page: Path) -> None:
    cases = set()
    for module in BENCHMARKS.glob("*.py"):
        cases |= set(re.findall(r"^async def (\w+)\(", text_of(module), re.MULTILINE))
    commands = re.findall(r"python -m benchmarks((?: [a-z_]+)*)", text_of(page))
    named = {case for command in commands for case in command.split()}
    assert named
    assert named <= cases


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_no_page_names_a_folder_of_the_machine_that_it_was_written_on(page: Path) -> None:
    folders = re.findall(r"(?<![\w.~}])/(?:work|home|root|opt|srv|tmp)/[\w./-]*", text_of(page))
    assert set(folders) <= {"/tmp/marianne.sock"}
