"""The rooms of the house, and which may import which: the drawing, held against the code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from marianne_stream.commands.verbs import COMMANDS

PACKAGE = Path(__file__).parents[1] / "marianne_stream"

VALUES = {"errors", "models", "payloads", "wire", "version", "figures"}

# Each room, and the rooms that it may import from, besides itself.
MAY_IMPORT = {
    "__init__": {"version"},
    "version": set(),
    "errors": set(),
    "figures": set(),
    "models": {"errors"},
    "payloads": {"models"},
    "wire": set(),
    "conductor": VALUES,
    "fanout": VALUES,
    "logs": VALUES,
    "state": VALUES | {"conductor"},
    "jobs": VALUES | {"state", "fanout"},
    "feeds": VALUES | {"jobs", "logs", "fanout"},
    "relay": VALUES | {"jobs", "feeds", "logs", "fanout"},
    "relaying": {"errors", "settings", "access", "jobs", "feeds", "logs", "relay"},
    "access": VALUES,
    "web": VALUES | {"jobs", "logs", "fanout", "feeds", "access"},
    "client": {"errors", "wire", "version"},
    "setting_kinds": {"access", "wire"},
    "settings": {"setting_kinds", "errors", "access", "wire"},
    "log_output": {"settings"},
    "memory": set(),
    "background": set(),
    "demo": VALUES,
    "app": VALUES
    | {"settings", "conductor", "fanout", "state", "jobs", "logs", "feeds", "web", "memory"}
    | {"access", "relaying", "relay", "background"},
    "listening": {"errors"},
    "signals": set(),
    "systemd": set(),
    "serve": {"memory", "app", "settings", "errors", "listening", "systemd", "log_output"}
    | {"signals", "version", "web"},
    "workers": {"settings", "errors", "listening", "signals", "systemd", "wire"},
    "check": VALUES
    | {"settings", "conductor", "state", "feeds", "logs", "access", "relay", "relaying"},
    "commands": {
        "setting_kinds",
        "check",
        "serve",
        "settings",
        "errors",
        "log_output",
        "demo",
        "version",
        "listening",
    }
    | {"workers"}
    | {"access", "client", "wire"},
    "cli": {"commands", "errors"},
    "__main__": {"cli"},
}

# What is not to be found in a room at all: outside of it, things can be tested without.
WITHOUT = {
    "wire": {"asyncio", "socket", "aiohttp", "aiohttp_sse", "aiosqlite", "pydantic"},
    "models": {"asyncio", "socket", "aiohttp", "msgspec"},
    "payloads": {"asyncio", "socket", "aiohttp", "msgspec"},
    "conductor": {"aiohttp", "pydantic", "aiosqlite"},
    "fanout": {"aiohttp", "socket", "aiosqlite"},
    "logs": {"aiohttp", "socket", "aiosqlite", "pydantic"},
    "state": {"aiohttp"},
    "jobs": {"aiohttp", "socket", "aiosqlite"},
    "feeds": {"aiohttp", "socket", "aiosqlite"},
    "relay": {"aiohttp", "socket", "aiosqlite", "pydantic"},
    "access": {"aiohttp", "socket", "pydantic"},
    "web": {"aiosqlite", "socket"},
    "demo": {"aiohttp", "pydantic", "msgspec"},
    "client": {"socket", "aiosqlite", "pydantic"},
}

# What costs time to load or need not be there, and the one room that is loaded with it.
ONLY_IN = {"rich": "client", "argcomplete": "commands", "redis": "relay"}

PRINTING = {"cli", "commands", "client"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """The folder of a module, or its own name where it stands at the top."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


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
            assert rest[0] == room or rest[0] in MAY_IMPORT[room], f"{path} imports {name}"
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
    for side, other in (("publish", "edges"), ("edges", "publish")):
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
