"""State on disk: the registry, or the folder of checkpoints."""

import asyncio
from pathlib import Path

from marianne_stream.backends.base import Backend
from marianne_stream.backends.checkpoint_dir import CheckpointDirBackend
from marianne_stream.backends.conductor_registry import (
    are_different_files,
    default_registry_path,
    expand_home,
)
from marianne_stream.backends.registry import RegistryBackend
from marianne_stream.cli.diagnostics.finding import Finding, FindingLevel, pluralize
from marianne_stream.errors import StateUnreadableError
from marianne_stream.models import Roster

UNREADABLE_ADVICE = "run the server as a user who may read it, and leave registry out or name it"


async def read_roster(source: Backend) -> Roster | StateUnreadableError:
    """Return what is on disk, or why it cannot be read."""
    try:
        return await source.read_roster()
    except StateUnreadableError as error:
        return error
    finally:
        await source.close()


async def check_registry(
    configured: Path | None, reported: str | None, *, socket: Path, is_only_source: bool
) -> tuple[Finding, Roster | None]:
    """Read the registry, and compare it with the one that the conductor names.

    Args:
        configured: the registry that the setting names; None for the conductor's own.
        reported: the conductor's own, by its word; None if it did not say.
        socket: the conductor's socket, by which its registry is guessed if it did not say.
        is_only_source: whether there is no other source of state.
    """
    own = expand_home(reported) if reported is not None else default_registry_path(socket)
    path = configured or own
    if await asyncio.to_thread(are_different_files, path, own) and reported is not None:
        text = f"{path} is not read: the conductor's own is {own}"
        advice = f"leave registry out, or set it to {own}"
        return Finding("warning", "registry", text, advice), None
    roster = await read_roster(RegistryBackend(path))
    if isinstance(roster, StateUnreadableError):
        level: FindingLevel = "error" if is_only_source else "warning"
        return Finding(level, "registry", str(roster), UNREADABLE_ADVICE), None
    return Finding("ok", "registry", f"{path} has {pluralize(len(roster.entries), 'job')}"), roster


async def check_checkpoints(folder: Path) -> tuple[Finding, Roster | None]:
    """Read the folder of checkpoints."""
    roster = await read_roster(CheckpointDirBackend(folder))
    if isinstance(roster, StateUnreadableError):
        advice = "name the folder with checkpoint_dir, and run the server as a user who may read it"
        return Finding("error", "checkpoints", str(roster), advice), None
    return Finding(
        "ok", "checkpoints", f"{folder} has {pluralize(len(roster.entries), 'job')}"
    ), roster
