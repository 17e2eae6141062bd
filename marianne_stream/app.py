"""The composition root: builds all parts from the settings, joins, starts and stops them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from marianne_stream.access.keeper import Keeper
from marianne_stream.access.places import token_place
from marianne_stream.access.sessions import Sessions
from marianne_stream.background import Background
from marianne_stream.conductor.client import ConductorClient
from marianne_stream.conductor.config import DaemonConfigCache
from marianne_stream.fanout.timeline import ReplayBuffer
from marianne_stream.feeds.followed import LogFollowers
from marianne_stream.feeds.job_logs import FileLogLocator, LogLocator
from marianne_stream.feeds.log_streams import FileLogFeeds, LogFeedProvider
from marianne_stream.jobs.watches import JobHub
from marianne_stream.logs.alarms import FileWatcher
from marianne_stream.logs.threads import LogThreads
from marianne_stream.memory import give_back_freed
from marianne_stream.relaying import edge_logs, edge_of, figures_of, publisher_of, publishing
from marianne_stream.settings import Settings
from marianne_stream.state.auto import FallbackBackend
from marianne_stream.state.conductor import ConductorBackend
from marianne_stream.state.json_dir import CheckpointDirBackend
from marianne_stream.state.own_registry import ConductorRegistryBackend
from marianne_stream.state.source import Backend
from marianne_stream.state.whereabouts import JobPathResolver
from marianne_stream.web import openapi
from marianne_stream.web.connections import Limits, Runner
from marianne_stream.web.downloads import Downloads
from marianne_stream.web.gate import Gate
from marianne_stream.web.keys import (
    DOWNLOAD_LIMIT_BYTES,
    DOWNLOADS,
    JOB_LOGS,
    LOG_STREAMS,
    METRICS,
    NOT_SERVED,
    OPENAPI,
    STREAMS,
    WATCHES,
)
from marianne_stream.web.metrics import Metrics
from marianne_stream.web.middleware import errors_as_json, observing, on_prepare, unless_leaving
from marianne_stream.web.pages import Pages, Templates
from marianne_stream.web.params import JOB_NAMES
from marianne_stream.web.routes import add_routes
from marianne_stream.web.sign_in import SignIn
from marianne_stream.web.sites import Sites
from marianne_stream.web.stream import Streams
from marianne_stream.web.visitor import Proxies

if TYPE_CHECKING:
    from marianne_stream.relay.edges.edge import Edge
    from marianne_stream.relay.publish.publisher import Publisher

logger = logging.getLogger(__name__)

BACKGROUND = web.AppKey("BACKGROUND", Background)
KEEPER: web.AppKey[Keeper | None] = web.AppKey("KEEPER")

# Only who signs in sends anything but a head: a token, and where to go on to.
FORM_LIMIT_BYTES = 16 * 1024
FORM_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What a server is made of.

    Attributes:
        client: asks the conductor; None if none is asked.
        edge: who reads what others publish; None where that is not what is served.
        source: where state is read.
        watches: who knows jobs, roster and events.
        alarms: who tells that a log was written.
        threads: where files are read.
        followed: the logs that are followed.
        log_streams: who opens logs as feeds.
        log_finder: who finds their files.
        publisher: who publishes all of it; None where nobody is to.
        streams: what is open.
        downloads: what is being sent as files.
        metrics: the figures of all of them.
        keeper: who knows tokens and sessions; None where everybody may see everything.
        background: the tasks of all of them.
    """

    client: ConductorClient | None
    edge: "Edge | None"
    source: Backend
    watches: JobHub
    alarms: FileWatcher
    threads: LogThreads
    followed: LogFollowers
    log_streams: LogFeedProvider
    log_finder: LogLocator
    publisher: "Publisher | None"
    streams: Streams
    downloads: Downloads
    metrics: Metrics
    keeper: Keeper | None
    background: Background

    async def run(self, _app: web.Application) -> AsyncIterator[None]:
        """Has all of them work for as long as the server runs."""
        start = self.background.start
        start("streams", self.streams.run())
        start("downloads", self.downloads.run())
        start("metrics", self.metrics.run())
        start("memory", give_back_freed(lambda: len(self.streams)))
        start("watches", self.watches.run())
        start("log alarms", self.alarms.run())
        if self.keeper is not None:
            start("sessions", self.keeper.run())
        if (monitor := self.edge or self.client) is not None:
            start("conductor", monitor.run(self.watches))
        yield
        await self.followed.close()
        await self.background.stop()
        await self.source.close()

    async def hang_up(self, _app: web.Application) -> None:
        """Ends what is open, where `leave` was not called before."""
        self.streams.close()
        self.watches.begin_shutdown()
        await self.background.stop("relay", "conductor", "watches")
        # What is still read is for answers that would come too late.
        self.threads.close()


def parts_of(settings: Settings) -> Parts:
    """Builds all parts, and joins them.

    Raises:
        SettingsError: one of them cannot be as it is to be.
    """
    edge = edge_of(settings)
    backends = make_backends(settings)
    source = edge if edge is not None else backends.source
    watches = JobHub(
        source,
        ReplayBuffer(remote=edge is not None),
        event_source_name="conductor" if edge is None else "redis",
        read_recent_events=backends.conductor.read_recent_events
        if backends.conductor is not None
        else None,
        job_groups=edge,
    )
    alarms = FileWatcher(
        mode=settings.job_log_watch, poll_interval_s=settings.job_log_poll_interval_s
    )
    followed = LogFollowers(watches, alarms)
    threads = LogThreads()
    job_logs = FileLogLocator(watches, backends.whereabouts, threads)
    log_streams, log_finder = (
        edge_logs(edge, watches, threads)
        if edge is not None
        else (FileLogFeeds(job_logs, followed), job_logs)
    )
    streams = Streams(
        max_streams=settings.max_streams, max_streams_of_one=settings.max_streams_per_address
    )
    downloads = Downloads(settings.max_downloads, settings.max_downloads_per_address)
    publisher = publisher_of(settings, watches, job_logs, followed)
    figures = figures_of(publisher, edge)
    return Parts(
        client=backends.client,
        edge=edge,
        source=source,
        watches=watches,
        alarms=alarms,
        threads=threads,
        followed=followed,
        log_streams=log_streams,
        log_finder=log_finder,
        publisher=publisher,
        streams=streams,
        downloads=downloads,
        metrics=Metrics(streams, watches, log_streams, downloads, others=figures),
        keeper=None if settings.no_auth else keeper_of(settings),
        background=Background(),
    )


def create_app(settings: Settings) -> web.Application:
    """The whole server as an application that is ready to be run.

    Its `BACKGROUND` tells when a part of it has failed: it serves no longer what it should, and had
    better end.

    Raises:
        SettingsError: a part of it cannot be as it is to be.
    """
    parts = parts_of(settings)
    sites = Sites(settings.allowed_hosts, settings.cors_origins)
    gate = Gate(
        parts.keeper,
        sites=sites,
        proxies=Proxies(settings.trusted_proxies),
        open_paths=open_paths(settings),
    )
    app = web.Application(
        middlewares=[observing(parts.metrics), errors_as_json, gate.middleware(), unless_leaving],
        client_max_size=FORM_LIMIT_BYTES,
    )
    app.on_response_prepare.extend((sites.on_prepare, on_prepare))
    app[KEEPER], app[OPENAPI] = parts.keeper, openapi.description()
    app[WATCHES], app[STREAMS], app[BACKGROUND] = parts.watches, parts.streams, parts.background
    app[LOG_STREAMS], app[JOB_LOGS] = parts.log_streams, parts.log_finder
    app[NOT_SERVED] = parts.edge.mismatches if parts.edge is not None else list
    app[JOB_NAMES] = parts.edge.name_of if parts.edge is not None else str
    app[DOWNLOAD_LIMIT_BYTES] = settings.max_download_bytes
    app[DOWNLOADS], app[METRICS] = parts.downloads, parts.metrics
    add_routes(app.router)
    add_pages(app, gate, settings)
    app.cleanup_ctx.extend((publishing(parts.publisher, parts.background.start), parts.run))
    app.on_shutdown.append(parts.hang_up)
    return app


def add_pages(app: web.Application, gate: Gate, settings: Settings) -> None:
    """Puts the pages for people into a server."""
    templates = Templates()
    SignIn(
        gate,
        templates,
        max_age_s=settings.session_max_age_s,
        form_limit_s=min(FORM_LIMIT_S, settings.idle_timeout_s),
    ).add_routes(app.router)
    Pages(gate, templates).add_routes(app.router)


def open_paths(settings: Settings) -> set[str]:
    """The addresses that ask for no token by these settings."""
    wanted = {"/ready": settings.public_ready, "/metrics": settings.public_metrics}
    return {path for path, is_open in wanted.items() if is_open}


# Connections that are no streams, in all and to one address.
CONNECTIONS_BESIDE_STREAMS = 128


def runner_of(app: web.Application, settings: Settings) -> Runner:
    """What runs the server, with as many connections as these settings let there be."""
    limits = Limits(
        most=settings.max_streams + CONNECTIONS_BESIDE_STREAMS,
        most_of_one=settings.max_streams_per_address + CONNECTIONS_BESIDE_STREAMS,
        unlimited=Proxies(settings.trusted_proxies).trusts,
    )
    return Runner(
        app,
        app[METRICS],
        limits,
        idle_timeout_s=settings.idle_timeout_s,
        max_header_bytes=settings.max_header_bytes,
    )


async def leave(app: web.Application, *, drain_s: float, hurry: asyncio.Event) -> None:
    """Ends what is open, in good order: the conductor's connections first, then the streams.

    Args:
        app: the server, which listens no more.
        drain_s: over how long the streams are ended, so that not all clients return at once.
        hurry: ends the rest at once when it is set.
    """
    watches, streams, background = app[WATCHES], app[STREAMS], app[BACKGROUND]
    streams.begin_leaving(drain_s)
    watches.begin_shutdown()
    # Its last words come first, so that edges tell that the source is gone, and not the conductor.
    await background.stop("relay")
    await background.stop("conductor", "watches")
    await streams.drain(hurry)


def abort(app: web.Application, runner: Runner) -> None:
    """Ends all that is open at once, whatever its clients have still to take."""
    app[STREAMS].abort_all()
    runner.abort()


def summary(app: web.Application) -> str:
    """What the server does, in one line."""
    streams, watches = app[STREAMS], app[WATCHES]
    if streams.leaving:
        return f"leaving; {len(streams)} streams still open"
    return (
        f"{len(streams)} streams open; {watches.watched_job_count} jobs watched; "
        f"events {'come in' if watches.event_intake.is_live else 'do not come in'}"
    )


def keeper_of(settings: Settings) -> Keeper:
    """Who lets in, as the settings say; a token is made where none is named.

    Raises:
        SettingsError: the tokens cannot be read or made.
    """
    place = token_place(settings.token_file, settings.data_dir)
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        logger.warning("sessions end with this process: no %s: %s", settings.data_dir, error)
    sessions = Sessions(settings.data_dir, max_age_s=settings.session_max_age_s)
    return Keeper(place.read, sessions, own=place.own, made=place.made, source=place.described)


@dataclass(frozen=True, slots=True)
class Backends:
    """The parts that read state.

    Attributes:
        client: asks the conductor; None if none is asked.
        conductor: the conductor as a source of state; None if none is asked.
        source: the source that the settings choose.
        whereabouts: knows where logs lie.
    """

    client: ConductorClient | None
    conductor: ConductorBackend | None
    source: Backend
    whereabouts: JobPathResolver


def make_backends(settings: Settings) -> Backends:
    """Build the parts that read state, as the settings say."""
    client = config = conductor = None
    if settings.state_backend in ("auto", "conductor"):
        client = ConductorClient(settings.conductor_socket, events_mode=settings.conductor_events)
        config = DaemonConfigCache(client)
        conductor = ConductorBackend(client, config)
    registry = ConductorRegistryBackend(
        config, configured_path=settings.registry_path, socket_path=settings.conductor_socket
    )
    if settings.state_backend == "json" and settings.checkpoint_dir is not None:
        source: Backend = CheckpointDirBackend(settings.checkpoint_dir)
    elif conductor is None:
        source = registry
    else:
        source = (
            conductor
            if settings.state_backend == "conductor"
            else FallbackBackend(conductor, registry)
        )
    known = registry if settings.state_backend in ("auto", "registry") else None
    places = JobPathResolver(config, known, conductor_log_path=settings.conductor_log)
    return Backends(client, conductor, source, places)
