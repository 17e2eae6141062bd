"""The relay's parts, as the settings say: who publishes, and who reads what was published.

They are loaded when they are wanted: they need redis-py, which need not be there.
"""

from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from aiohttp import web

from marianne_stream.auth.token_source import is_credential
from marianne_stream.auth.tokens import read_private_file
from marianne_stream.config.settings import Settings
from marianne_stream.errors import SettingsError
from marianne_stream.feeds.log_follower import LogFollowers
from marianne_stream.feeds.log_locator import FileLogLocator
from marianne_stream.jobs.hub import JobHub
from marianne_stream.logs.log_threads import LogThreads
from marianne_stream.relay.redis_keys import SourceKeys

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from marianne_stream.relay.edge.edge import Edge
    from marianne_stream.relay.edge.relayed_feeds import OriginOnlyLocator, RelayedLogFeeds
    from marianne_stream.relay.publish.publisher import Publisher


def make_publisher(
    settings: Settings, job_hub: JobHub, log_locator: FileLogLocator, log_followers: LogFollowers
) -> "Publisher | None":
    """Who publishes in Redis, as the settings say; None where nobody is to.

    Raises:
        SettingsError: what it needs is not installed, or its password cannot be read.
    """
    if settings.publish_url is None or settings.source_name is None:
        return None
    relay = import_optional("publish.publisher")
    target = relay.PublishConfig(
        url=settings.publish_url,
        password=read_redis_password(settings),
        keys=SourceKeys(settings.redis_prefix, settings.source_name),
        public_url=settings.public_url,
        log_selection=settings.publish_logs,
        retention=relay.LogRetention(settings.redis_log_max_lines, settings.redis_log_ttl_s),
    )
    publisher: Publisher = relay.Publisher(target, job_hub, log_locator, log_followers)
    return publisher


def make_publisher_lifespan(
    publisher: "Publisher | None", start_task: Callable[[str, Coroutine[Any, Any, None]], None]
) -> Callable[[web.Application], AsyncIterator[None]]:
    """Begins to publish before anything else begins, and fails where another relay does it."""

    async def publish(_app: web.Application) -> AsyncIterator[None]:
        if publisher is not None:
            await publisher.acquire_lock()
            start_task("relay", publisher.run())
        yield

    return publish


def make_edge(settings: Settings) -> "Edge | None":
    """Who reads what others publish, where that is what is served; None where it is not.

    Raises:
        SettingsError: what it needs is not installed, or its password cannot be read.
    """
    if settings.state_backend != "redis" or settings.redis_url is None:
        return None
    password = read_redis_password(settings)
    open_client = partial(import_optional("redis_client").make_client, settings.redis_url, password)
    edge: Edge = import_optional("edge.edge").Edge(
        open_client, settings.redis_prefix, settings.sources
    )
    return edge


def make_edge_logs(
    edge: "Edge", job_hub: JobHub, threads: LogThreads
) -> "tuple[RelayedLogFeeds, OriginOnlyLocator]":
    """The logs that an edge serves, and who says that there are no files of them."""
    module = import_optional("edge.relayed_feeds")
    return module.RelayedLogFeeds(edge, job_hub, threads), module.OriginOnlyLocator(edge, job_hub)


def make_collectors(publisher: "Publisher | None", edge: "Edge | None") -> "list[Collector]":
    """The figures of who publishes, or of an edge."""
    if publisher is None and edge is None:
        return []
    figures = import_optional("collectors")
    found: list[Collector] = [figures.RelayCollector(publisher)] if publisher is not None else []
    return found + ([figures.EdgeCollector(edge)] if edge is not None else [])


def read_redis_password(settings: Settings) -> str | None:
    """The password for Redis, where a file holds it.

    Raises:
        SettingsError: it cannot be read, or others than its owner can.
    """
    path = settings.redis_password_file
    if path is None:
        return None
    passed = is_credential(path)
    return read_private_file(
        path, passed_by_systemd=passed, content_name="password for Redis"
    ).strip()


def import_optional(module_name: str) -> ModuleType:
    """A module of `relay` that needs redis-py, imported when it is wanted: redis-py is an extra.

    Args:
        module_name: the module's, as it is named below `relay`, as `publish.publisher`.

    Raises:
        SettingsError: redis-py is not installed.
    """
    try:
        return import_module(f"marianne_stream.relay.{module_name}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "redis":
            raise
        raise SettingsError(
            "the relay needs redis-py, which is not installed: pip install 'marianne-stream[redis]'"
        ) from error
