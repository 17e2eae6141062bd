"""Loader of the relay's classes. They need redis-py, an optional dependency."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from marianne_stream.auth.token_source import is_credential
from marianne_stream.auth.tokens import read_private_file
from marianne_stream.common.optional_imports import load_with_extra
from marianne_stream.jobs.hub import JobHub
from marianne_stream.logs.log_threads import LogThreads

if TYPE_CHECKING:
    from marianne_stream.relay.edge.edge import Edge
    from marianne_stream.relay.edge.relayed_feeds import OriginOnlyLocator, RelayedLogFeeds


def load_with_redis(module_name: str, name: str) -> Any:
    """Return a class or function of a module, which is named below `relay`.

    Raises SettingsError if redis-py is not installed.
    """
    module = f"marianne_stream.relay.{module_name}"
    return load_with_extra(module, name, extra="redis", library="redis")


def make_edge_logs(
    edge: "Edge", hub: JobHub, threads: LogThreads
) -> tuple["OriginOnlyLocator", "RelayedLogFeeds"]:
    """Return the locator and the feeds of the logs of an edge."""
    locator_class: type[OriginOnlyLocator] = load_with_redis(
        "edge.relayed_feeds", "OriginOnlyLocator"
    )
    feeds_class: type[RelayedLogFeeds] = load_with_redis("edge.relayed_feeds", "RelayedLogFeeds")
    return locator_class(edge, hub), feeds_class(edge, hub, threads)


def read_redis_password(path: Path | None) -> str | None:
    """Read the password for Redis from a file, if there is one.

    Raises SettingsError if the file cannot be read, or others than its owner can read it.
    """
    if path is None:
        return None
    passed = is_credential(path)
    text = read_private_file(path, passed_by_systemd=passed, content_name="password for Redis")
    return text.strip()
