"""The rooms of the house, and which may import which: the drawing, held against the code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from marianne_stream.cli.commands import COMMANDS

PACKAGE = Path(__file__).parents[1] / "marianne_stream"

VALUES = {"common", "errors", "models", "schemas", "wire", "version"}

# Each room, and the rooms that it may import from, besides itself. A module or a subpackage that
# may import more than the rest of its room has a line of its own.
MAY_IMPORT = {
    "__init__": {"version"},
    "__main__": {"cli"},
    "version": set(),
    "errors": set(),
    "models": {"errors"},
    "schemas": {"models"},
    "wire": set(),
    "common": set(),
    "conductor": VALUES,
    "fanout": VALUES,
    "logs": VALUES,
    "auth": VALUES,
    "backends": VALUES | {"conductor"},
    "jobs": VALUES | {"backends", "fanout"},
    "feeds": VALUES | {"jobs", "logs", "fanout"},
    "relay": VALUES | {"jobs", "feeds", "logs", "fanout"},
    "relay/setup": {"config", "auth", "jobs", "feeds", "logs", "relay", "errors"},
    "web": VALUES | {"jobs", "logs", "fanout", "feeds", "auth"},
    "client": {"common", "errors", "wire", "version"},
    "config": {"auth", "errors", "wire"},
    "demo": VALUES,
    "server": {"common", "config", "errors", "wire"},
    "server/run": {"app", "config", "errors", "version", "web", "server"},
    "app": VALUES
    | {"config", "conductor", "fanout", "backends", "jobs", "logs", "feeds", "web", "auth"}
    | {"relay", "server"},
    "cli": {"config", "errors", "demo", "version", "server", "auth", "client", "wire"},
    "cli/diagnostics": VALUES
    | {"cli", "config", "conductor", "backends", "feeds", "logs", "auth", "relay"},
}

# What is not to be found in a room at all: outside of it, things can be tested without.
WITHOUT = {
    "wire": {"asyncio", "socket", "aiohttp", "aiohttp_sse", "aiosqlite", "pydantic"},
    "models": {"asyncio", "socket", "aiohttp", "msgspec"},
    "schemas": {"asyncio", "socket", "aiohttp", "msgspec"},
    "conductor": {"aiohttp", "pydantic", "aiosqlite"},
    "fanout": {"aiohttp", "socket", "aiosqlite"},
    "logs": {"aiohttp", "socket", "aiosqlite", "pydantic"},
    "backends": {"aiohttp"},
    "jobs": {"aiohttp", "socket", "aiosqlite"},
    "feeds": {"aiohttp", "socket", "aiosqlite"},
    "relay": {"aiohttp", "socket", "aiosqlite", "pydantic"},
    "auth": {"aiohttp", "socket", "pydantic"},
    "web": {"aiosqlite", "socket"},
    "demo": {"aiohttp", "pydantic", "msgspec"},
    "client": {"socket", "aiosqlite", "pydantic"},
}

# What costs time to load or need not be there, and the one room that is loaded with it.
ONLY_IN = {"rich": "client", "argcomplete": "cli", "redis": "relay"}

PRINTING = {"cli", "client"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """Return the room of a module: a line of MAY_IMPORT, the nearest one."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return "/".join(parts[:2]) if "/".join(parts[:2]) in MAY_IMPORT else parts[0]


def imports_of(path: Path) -> Iterator[str]:
    """Every module that a module imports, by its full name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module or ""
            # A module taken from its folder: `from marianne_stream.web import jobs`.
            if node.module and node.module.startswith("marianne_stream"):
                folder = PACKAGE.joinpath(*node.module.split(".")[1:])
                for alias in node.names:
                    if (folder / f"{alias.name}.py").exists() or (folder / alias.name).is_dir():
                        yield f"{node.module}.{alias.name}"


def test_every_room_is_in_the_drawing() -> None:
    assert {room_of(path) for path in modules()} == set(MAY_IMPORT)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_its_room_may(path: Path) -> None:
    room = room_of(path)
    for name in imports_of(path):
        top, *rest = name.split(".")
        if top == "marianne_stream":
            assert rest, f"{path} imports the package itself"
            # Only the command line starts what imports the application.
            may = MAY_IMPORT[room] | {room.partition("/")[0]}
            assert rest[0] in may, f"{path} imports {name}"
            assert rest[:2] != ["server", "run"] or room == "cli", f"{path} imports {name}"
        else:
            assert top not in WITHOUT.get(room, set()), f"{path} imports {name}"
            assert ONLY_IN.get(top, room) == room, f"{path} imports {name}"


def test_no_module_imports_inside_a_function() -> None:
    for path in modules():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                inner = [
                    node
                    for node in ast.walk(function)
                    if isinstance(node, ast.Import | ast.ImportFrom)
                ]
                assert not inner, f"{path}:{function.lineno}"


def test_no_source_file_has_more_than_400_lines() -> None:
    files = [path for suffix in ("py", "js", "css") for path in PACKAGE.rglob(f"*.{suffix}")]
    assert {path.suffix for path in files} == {".py", ".js", ".css"}
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {path: lines for path, lines in lengths.items() if lines > 400} == {}


def test_the_table_of_verbs_names_modules_that_are_there() -> None:
    assert all(hasattr(place.load(), "run") for place in COMMANDS.values())


def test_only_the_command_line_prints() -> None:
    for path in modules():
        calls = [
            node.func.id
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        ]
        assert "print" not in calls or room_of(path) in PRINTING, path


def test_the_two_sides_of_the_relay_do_not_see_each_other() -> None:
    for side, other in (("publish", "edge"), ("edge", "publish")):
        found = sorted((PACKAGE / "relay" / side).glob("*.py"))
        assert len(found) > 5
        for path in found:
            seen = f"marianne_stream.relay.{other}"
            assert not [name for name in imports_of(path) if name.startswith(seen)], path


def test_no_comment_of_the_page_begins_with_a_question_word() -> None:
    opener = re.compile(
        r"/\*+[\s*]*(?:Who|What|Where|Whose|Which|How|When|Whether|That|Those|One|So|Nothing|Nobody"
        r"|Of|By)\b"
    )
    for path in [*PACKAGE.rglob("*.js"), *PACKAGE.rglob("*.css")]:
        assert opener.findall(path.read_text(encoding="utf-8")) == [], path


def test_the_npm_lock_file_names_no_registry() -> None:
    lock = (PACKAGE.parent / "package-lock.json").read_text(encoding="utf-8")
    assert '"integrity"' in lock
    assert '"resolved"' not in lock
