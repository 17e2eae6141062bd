"""Structure of the package: imports between its parts, names, module sizes."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from marianne_stream.cli.commands import COMMANDS, COMPLETE_COMMAND

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "marianne_stream"

VALUES = {"common", "errors", "schemas", "wire", "version"}
VALUES |= {"models", "conductor_models", "value_limits"}

# Parts of the package, and the parts that each may import besides itself. A module or subpackage
# that may import more than the rest of its package has a line of its own.
MAY_IMPORT = {
    "__init__": {"version"},
    "__main__": {"cli"},
    "version": set(),
    "errors": set(),
    "models": {"errors"},
    "conductor_models": {"models"},
    "value_limits": set(),
    "schemas": {"models", "conductor_models", "value_limits", "wire"},
    "wire": set(),
    "common": {"errors"},
    "conductor": VALUES,
    "fanout": VALUES,
    "logs": VALUES,
    "auth": VALUES,
    "backends": VALUES | {"conductor"},
    "jobs": VALUES | {"backends", "fanout"},
    "history": VALUES | {"jobs", "fanout"},
    "notify": VALUES | {"jobs", "history"},
    "notify/rules": {"wire"},
    "feeds": VALUES | {"jobs", "logs", "fanout", "history"},
    "files": VALUES | {"logs", "feeds", "jobs"},
    "relay": VALUES | {"jobs", "feeds", "logs", "fanout"},
    "relay/setup": {"auth", "common", "relay", "errors", "jobs", "logs"},
    "web": VALUES | {"jobs", "logs", "fanout", "feeds", "files", "auth", "history"},
    "client": {"common", "errors", "wire", "version"},
    "config": {"auth", "errors", "wire", "notify"},
    "demo": VALUES,
    "server": {"common", "config", "errors", "wire"},
    "server/run": {"app", "config", "errors", "version", "web", "server"},
    "components": {"config", "conductor", "errors", "fanout", "backends", "jobs", "logs", "feeds"}
    | {"web", "auth", "relay", "server", "history", "files", "notify"},
    "app": {"components", "config", "history", "server", "web"},
    "cli": {"config", "errors", "demo", "version", "server", "auth", "client", "wire", "common"}
    | {"notify"},
    "cli/diagnostics": VALUES
    | {"cli", "config", "conductor", "backends", "feeds", "logs", "auth", "relay", "notify"},
}

# Libraries that a part must not import, so that it can be tested without them.
FORBIDDEN_LIBRARIES = {
    "wire": {"asyncio", "socket", "aiohttp", "aiohttp_sse", "aiosqlite", "pydantic"},
    "models": {"asyncio", "socket", "aiohttp", "msgspec"},
    "conductor_models": {"asyncio", "socket", "aiohttp", "msgspec"},
    "schemas": {"asyncio", "socket", "aiohttp", "msgspec"},
    "conductor": {"aiohttp", "pydantic", "aiosqlite"},
    "fanout": {"aiohttp", "socket", "aiosqlite"},
    "logs": {"aiohttp", "socket", "aiosqlite", "pydantic"},
    "backends": {"aiohttp"},
    "jobs": {"aiohttp", "socket", "aiosqlite"},
    "history": {"aiohttp", "socket", "aiosqlite"},
    "notify": {"aiohttp", "socket", "aiosqlite"},
    "feeds": {"aiohttp", "socket", "aiosqlite"},
    "files": {"aiohttp", "asyncio", "socket", "pydantic"},
    "relay": {"aiohttp", "socket", "aiosqlite", "pydantic"},
    "auth": {"aiohttp", "socket", "pydantic"},
    "web": {"aiosqlite", "socket"},
    "demo": {"aiohttp", "pydantic", "msgspec"},
    "client": {"socket", "aiosqlite", "pydantic"},
}

# Libraries that are slow to import or optional, and the only part that may import each.
RESTRICTED_LIBRARIES = {
    "rich": "client",
    "argcomplete": "cli",
    "redis": "relay",
    "apprise": "notify",
}
RESTRICTED_LIBRARIES |= {"markdown_it": "files"}

# Parts that write to the terminal.
PRINTING_PARTS = {"cli", "client"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def find_part(path: Path) -> str:
    """Return the key of MAY_IMPORT for a module."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return "/".join(parts[:2]) if "/".join(parts[:2]) in MAY_IMPORT else parts[0]


def imported_modules(path: Path) -> Iterator[str]:
    """Yield the full name of every module that a module imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module or ""
            # A module of a package: `from marianne_stream.web import jobs`.
            if node.module and node.module.startswith("marianne_stream"):
                folder = PACKAGE.joinpath(*node.module.split(".")[1:])
                for alias in node.names:
                    if (folder / f"{alias.name}.py").exists() or (folder / alias.name).is_dir():
                        yield f"{node.module}.{alias.name}"


def test_every_part_has_import_rules() -> None:
    assert {find_part(path) for path in modules()} == set(MAY_IMPORT)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_imports_only_allowed_parts(path: Path) -> None:
    part = find_part(path)
    for name in imported_modules(path):
        top, *rest = name.split(".")
        if top == "marianne_stream":
            assert rest, f"{path} imports the package itself"
            # Only the command line imports the process runner, which imports the application.
            may = MAY_IMPORT[part] | {part.partition("/")[0]}
            assert rest[0] in may, f"{path} imports {name}"
            assert rest[:2] != ["server", "run"] or part == "cli", f"{path} imports {name}"
            # The settings have rules, and nothing of how messages are made and sent.
            assert (part, *rest[:1]) != ("config", "notify") or rest[1:2] == ["rules"], name
        else:
            assert top not in FORBIDDEN_LIBRARIES.get(part, set()), f"{path} imports {name}"
            assert RESTRICTED_LIBRARIES.get(top, part) == part, f"{path} imports {name}"


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
    files += TESTS.rglob("*.py")
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {path: lines for path, lines in lengths.items() if lines > 400} == {}


def test_no_function_has_more_than_40_lines_without_its_docstring() -> None:
    too_long = []
    for path in modules():
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                body = function.body[1:] if ast.get_docstring(function) else function.body
                if body and (function.end_lineno or 0) - body[0].lineno >= 40:
                    too_long.append(f"{path}:{function.lineno}")
    assert too_long == []


def test_every_command_has_a_module() -> None:
    commands = (*COMMANDS.values(), COMPLETE_COMMAND)
    assert all(hasattr(command.load(), "run") for command in commands)


def test_only_terminal_parts_print() -> None:
    for path in modules():
        calls = [
            node.func.id
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        ]
        assert "print" not in calls or find_part(path) in PRINTING_PARTS, path


def test_publisher_and_edge_do_not_import_each_other() -> None:
    for side, other in (("publish", "edge"), ("edge", "publish")):
        found = sorted((PACKAGE / "relay" / side).glob("*.py"))
        assert len(found) > 5
        for path in found:
            seen = f"marianne_stream.relay.{other}"
            assert not [name for name in imported_modules(path) if name.startswith(seen)], path


def test_npm_lock_file_names_no_registry() -> None:
    lock = (PACKAGE.parent / "package-lock.json").read_text(encoding="utf-8")
    assert '"integrity"' in lock
    assert '"resolved"' not in lock
