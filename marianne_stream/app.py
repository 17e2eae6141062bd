"""The composition root: builds all parts from the settings, joins, starts and stops them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from marianne_stream.auth.authenticator import Authenticator
from marianne_stream.auth.session_store import SessionStore
from marianne_stream.auth.token_source import ensure_token_source
from marianne_stream.backends.base import Backend
from marianne_stream.backends.checkpoint_dir import CheckpointDirBackend
from marianne_stream.backends.conductor import ConductorBackend
from marianne_stream.backends.conductor_registry import ConductorRegistryBackend
from marianne_stream.backends.fallback import FallbackBackend
from marianne_stream.backends.job_paths import JobPathResolver
from marianne_stream.conductor.client import ConductorClient
from marianne_stream.conductor.daemon_config import DaemonConfigCache
from marianne_stream.config.settings import Settings
from marianne_stream.fanout.replay_buffer import ReplayBuffer
from marianne_stream.feeds.log_feeds import FileLogFeeds, LogFeedProvider
from marianne_stream.feeds.log_follower import LogFollowers
from marianne_stream.feeds.log_locator import FileLogLocator, LogLocator
from marianne_stream.jobs.hub import JobHub
from marianne_stream.logs.file_watcher import FileWatcher
from marianne_stream.logs.log_threads import LogThreads
from marianne_stream.relay.setup import (
    make_collectors,
    make_edge,
    make_edge_logs,
    make_publisher,
    make_publisher_lifespan,
)
from marianne_stream.server.memory import trim_heap_periodically
from marianne_stream.server.tasks import TaskSupervisor
from marianne_stream.web import openapi
from marianne_stream.web.app_keys import (
    DOWNLOAD_LIMITER,
    JOB_HUB,
    LOG_FEEDS,
    LOG_LOCATOR,
    MAX_DOWNLOAD_BYTES,
    METRICS,
    NOT_SERVED,
    OPENAPI,
    STREAM_REGISTRY,
)
from marianne_stream.web.auth_middleware import AuthMiddleware
from marianne_stream.web.download_limiter import DownloadLimiter
from marianne_stream.web.frontend import Frontend, Templates
from marianne_stream.web.host_policy import HostPolicy
from marianne_stream.web.http_server import ConnectionLimits, LimitedAppRunner
from marianne_stream.web.login_handlers import LoginPages
from marianne_stream.web.metrics import Metrics
from marianne_stream.web.middleware import (
    add_response_headers,
    errors_as_json,
    make_request_context,
    reject_while_draining,
)
from marianne_stream.web.params import JOB_ID_RESOLVER
from marianne_stream.web.proxy_headers import TrustedProxies
from marianne_stream.web.routes import add_routes
from marianne_stream.web.stream_registry import StreamRegistry

if TYPE_CHECKING:
    from marianne_stream.relay.edge.edge import Edge
    from marianne_stream.relay.publish.publisher import Publisher

logger = logging.getLogger(__name__)

TASKS = web.AppKey("BACKGROUND", TaskSupervisor)
AUTHENTICATOR: web.AppKey[Authenticator | None] = web.AppKey("KEEPER")

# Only who signs in sends anything but a head: a token, and where to go on to.
MAX_FORM_BYTES = 16 * 1024
FORM_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Components:
    """What a server is made of.

    Attributes:
        conductor_client: asks the conductor; None if none is asked.
        edge: who reads what others publish; None where that is not what is served.
        backend: where state is read.
        job_hub: who knows jobs, roster and events.
        file_watcher: who tells that a log was written.
        threads: where files are read.
        log_followers: the logs that are followed.
        log_feeds: who opens logs as feeds.
        log_locator: who finds their files.
        publisher: who publishes all of it; None where nobody is to.
        stream_registry: what is open.
        download_limiter: what is being sent as files.
        metrics: the figures of all of them.
        authenticator: who knows tokens and sessions; None where everybody may see everything.
        tasks: the tasks of all of them.
    """

    conductor_client: ConductorClient | None
    edge: "Edge | None"
    backend: Backend
    job_hub: JobHub
    file_watcher: FileWatcher
    threads: LogThreads
    log_followers: LogFollowers
    log_feeds: LogFeedProvider
    log_locator: LogLocator
    publisher: "Publisher | None"
    stream_registry: StreamRegistry
    download_limiter: DownloadLimiter
    metrics: Metrics
    authenticator: Authenticator | None
    tasks: TaskSupervisor

    async def lifespan(self, _app: web.Application) -> AsyncIterator[None]:
        """Has all of them work for as long as the server runs."""
        start = self.tasks.start
        start("streams", self.stream_registry.run_keepalive())
        start("downloads", self.download_limiter.run_revocation())
        start("metrics", self.metrics.run_lag_probe())
        start("memory", trim_heap_periodically(lambda: len(self.stream_registry)))
        start("watches", self.job_hub.run())
        start("log alarms", self.file_watcher.run())
        if self.authenticator is not None:
            start("sessions", self.authenticator.run_revocation())
        if (monitor := self.edge or self.conductor_client) is not None:
            start("conductor", monitor.run(self.job_hub))
        yield
        await self.log_followers.close()
        await self.tasks.cancel()
        await self.backend.close()

    async def close_streams(self, _app: web.Application) -> None:
        """Ends what is open, where `leave` was not called before."""
        self.stream_registry.close()
        self.job_hub.begin_shutdown()
        await self.tasks.cancel("relay", "conductor", "watches")
        # What is still read is for answers that would come too late.
        self.threads.close()


def build_components(settings: Settings) -> Components:
    """Builds all parts, and joins them.

    Raises:
        SettingsError: one of them cannot be as it is to be.
    """
    edge = make_edge(settings)
    backends = build_state_components(settings)
    source = edge if edge is not None else backends.backend
    watches = JobHub(
        source,
        ReplayBuffer(remote=edge is not None),
        event_source_name="conductor" if edge is None else "redis",
        read_recent_events=backends.conductor_backend.read_recent_events
        if backends.conductor_backend is not None
        else None,
        job_groups=edge,
    )
    alarms = FileWatcher(
        mode=settings.job_log_watch, poll_interval_s=settings.job_log_poll_interval_s
    )
    followed = LogFollowers(watches, alarms)
    threads = LogThreads()
    job_logs = FileLogLocator(watches, backends.path_resolver, threads)
    log_streams, log_finder = (
        make_edge_logs(edge, watches, threads)
        if edge is not None
        else (FileLogFeeds(job_logs, followed), job_logs)
    )
    streams = StreamRegistry(
        max_streams=settings.max_streams, max_streams_per_client=settings.max_streams_per_address
    )
    downloads = DownloadLimiter(settings.max_downloads, settings.max_downloads_per_address)
    publisher = make_publisher(settings, watches, job_logs, followed)
    figures = make_collectors(publisher, edge)
    return Components(
        conductor_client=backends.conductor_client,
        edge=edge,
        backend=source,
        job_hub=watches,
        file_watcher=alarms,
        threads=threads,
        log_followers=followed,
        log_feeds=log_streams,
        log_locator=log_finder,
        publisher=publisher,
        stream_registry=streams,
        download_limiter=downloads,
        metrics=Metrics(streams, watches, log_streams, downloads, extra_collectors=figures),
        authenticator=None if settings.no_auth else make_authenticator(settings),
        tasks=TaskSupervisor(),
    )


def create_app(settings: Settings) -> web.Application:
    """The whole server as an application that is ready to be run.

    Its `TASKS` tells when a part of it has failed: it serves no longer what it should, and had
    better end.

    Raises:
        SettingsError: a part of it cannot be as it is to be.
    """
    parts = build_components(settings)
    sites = HostPolicy(settings.allowed_hosts, settings.cors_origins)
    gate = AuthMiddleware(
        parts.authenticator,
        host_policy=sites,
        proxies=TrustedProxies(settings.trusted_proxies),
        public_paths=public_paths(settings),
    )
    app = web.Application(
        middlewares=[
            make_request_context(parts.metrics),
            errors_as_json,
            gate.make_middleware(),
            reject_while_draining,
        ],
        client_max_size=MAX_FORM_BYTES,
    )
    app.on_response_prepare.extend((sites.add_security_headers, add_response_headers))
    app[AUTHENTICATOR], app[OPENAPI] = parts.authenticator, openapi.make_openapi_document()
    app[JOB_HUB], app[STREAM_REGISTRY], app[TASKS] = (
        parts.job_hub,
        parts.stream_registry,
        parts.tasks,
    )
    app[LOG_FEEDS], app[LOG_LOCATOR] = parts.log_feeds, parts.log_locator
    app[NOT_SERVED] = parts.edge.version_mismatches if parts.edge is not None else list
    app[JOB_ID_RESOLVER] = parts.edge.public_job_id if parts.edge is not None else str
    app[MAX_DOWNLOAD_BYTES] = settings.max_download_bytes
    app[DOWNLOAD_LIMITER], app[METRICS] = parts.download_limiter, parts.metrics
    add_routes(app.router)
    add_frontend(app, gate, settings)
    app.cleanup_ctx.extend(
        (make_publisher_lifespan(parts.publisher, parts.tasks.start), parts.lifespan)
    )
    app.on_shutdown.append(parts.close_streams)
    return app


def add_frontend(app: web.Application, auth: AuthMiddleware, settings: Settings) -> None:
    """Puts the pages for people into a server."""
    templates = Templates()
    LoginPages(
        auth,
        templates,
        max_age_s=settings.session_max_age_s,
        form_timeout_s=min(FORM_TIMEOUT_S, settings.idle_timeout_s),
    ).add_routes(app.router)
    Frontend(auth, templates).add_routes(app.router)


def public_paths(settings: Settings) -> set[str]:
    """The addresses that ask for no token by these settings."""
    wanted = {"/ready": settings.public_ready, "/metrics": settings.public_metrics}
    return {path for path, is_open in wanted.items() if is_open}


# Connections that are no streams, in all and to one address.
NON_STREAM_CONNECTIONS = 128


def make_runner(app: web.Application, settings: Settings) -> LimitedAppRunner:
    """What runs the server, with as many connections as these settings let there be."""
    limits = ConnectionLimits(
        total=settings.max_streams + NON_STREAM_CONNECTIONS,
        per_client=settings.max_streams_per_address + NON_STREAM_CONNECTIONS,
        is_exempt=TrustedProxies(settings.trusted_proxies).is_trusted,
    )
    return LimitedAppRunner(
        app,
        app[METRICS],
        limits,
        idle_timeout_s=settings.idle_timeout_s,
        max_header_bytes=settings.max_header_bytes,
    )


async def shutdown(app: web.Application, *, drain_timeout_s: float, force: asyncio.Event) -> None:
    """Ends what is open, in good order: the conductor's connections first, then the streams.

    Args:
        app: the server, which listens no more.
        drain_timeout_s: over how long the streams are ended, so that not all clients return at
            once.
        force: ends the rest at once when it is set.
    """
    watches, streams, background = app[JOB_HUB], app[STREAM_REGISTRY], app[TASKS]
    streams.begin_drain(drain_timeout_s)
    watches.begin_shutdown()
    # Its last words come first, so that edges tell that the source is gone, and not the conductor.
    await background.cancel("relay")
    await background.cancel("conductor", "watches")
    await streams.drain(force)


def abort(app: web.Application, runner: LimitedAppRunner) -> None:
    """Ends all that is open at once, whatever its clients have still to take."""
    app[STREAM_REGISTRY].abort_all()
    runner.abort()


def status_line(app: web.Application) -> str:
    """What the server does, in one line."""
    streams, watches = app[STREAM_REGISTRY], app[JOB_HUB]
    if streams.is_draining:
        return f"leaving; {len(streams)} streams still open"
    return (
        f"{len(streams)} streams open; {watches.watched_job_count} jobs watched; "
        f"events {'come in' if watches.event_intake.is_live else 'do not come in'}"
    )


def make_authenticator(settings: Settings) -> Authenticator:
    """Who lets in, as the settings say; a token is made where none is named.

    Raises:
        SettingsError: the tokens cannot be read or made.
    """
    place = ensure_token_source(settings.token_file, settings.data_dir)
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        logger.warning("sessions end with this process: no %s: %s", settings.data_dir, error)
    sessions = SessionStore(settings.data_dir, max_age_s=settings.session_max_age_s)
    return Authenticator(
        place.read,
        sessions,
        is_generated=place.is_generated,
        is_newly_generated=place.is_newly_generated,
        source_description=place.description,
    )


@dataclass(frozen=True, slots=True)
class StateComponents:
    """The parts that read state.

    Attributes:
        conductor_client: asks the conductor; None if none is asked.
        conductor_backend: the conductor as a source of state; None if none is asked.
        backend: the source that the settings choose.
        path_resolver: knows where logs lie.
    """

    conductor_client: ConductorClient | None
    conductor_backend: ConductorBackend | None
    backend: Backend
    path_resolver: JobPathResolver


def build_state_components(settings: Settings) -> StateComponents:
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
    return StateComponents(client, conductor, source, places)
