"""Checks of the state on disk: the registry, or the folder of checkpoints."""

import asyncio
from pathlib import Path

from marianne_stream.backends.base import Backend
from marianne_stream.backends.checkpoint_dir import CheckpointDirBackend
from marianne_stream.backends.registry import RegistryBackend
from marianne_stream.backends.registry_path import (
    are_different_files,
    default_registry_path,
    expand_home,
)
from marianne_stream.cli.diagnostics.finding import Finding, FindingLevel, pluralize
from marianne_stream.errors import StateUnreadableError
from marianne_stream.models import Roster

UNREADABLE_ADVICE = "run the server as a user who may read the file, or correct registry_path"


async def read_roster(source: Backend) -> Roster | StateUnreadableError:
    """Read the roster from a backend, or return the error."""
    try:
        return await source.read_roster()
    except StateUnreadableError as error:
        return error
    finally:
        await source.close()


async def check_registry(
    configured: Path | None, reported: str | None, *, socket: Path, is_only_source: bool
) -> tuple[Finding, Roster | None]:
    """Check that the registry can be read and is the conductor's own.

    The default path depends on the socket. `reported` is the path that the conductor reports, if
    that is known.
    """
    own = expand_home(reported) if reported is not None else default_registry_path(socket)
    path = configured or own
    if await asyncio.to_thread(are_different_files, path, own) and reported is not None:
        text = f"{path} is not read: the conductor's registry is {own}"
        advice = f"leave out registry_path, or set it to {own}"
        return Finding("warning", "registry", text, advice), None
    roster = await read_roster(RegistryBackend(lambda: path))
    if isinstance(roster, StateUnreadableError):
        level: FindingLevel = "error" if is_only_source else "warning"
        return Finding(level, "registry", str(roster), UNREADABLE_ADVICE), None
    return Finding("ok", "registry", f"{path} has {pluralize(len(roster.entries), 'job')}"), roster


async def check_checkpoints(folder: Path) -> tuple[Finding, Roster | None]:
    """Check that the folder of checkpoints can be read."""
    roster = await read_roster(CheckpointDirBackend(folder))
    if isinstance(roster, StateUnreadableError):
        advice = "correct checkpoint_dir, or run the server as a user who may read the folder"
        return Finding("error", "checkpoints", str(roster), advice), None
    return Finding(
        "ok", "checkpoints", f"{folder} has {pluralize(len(roster.entries), 'job')}"
    ), roster
