"""Composition root: builds the components from the settings, joins, starts and stops them."""

import asyncio
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
from marianne_stream.backends.fallback import FallbackBackend
from marianne_stream.backends.registry import RegistryBackend
from marianne_stream.backends.registry_path import JobPathResolver, RegistryPath
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
from marianne_stream.relay.collectors import RelayCollector
from marianne_stream.relay.publish.config import PublishConfig
from marianne_stream.relay.setup import (
    load_with_redis,
    make_publisher_lifespan,
    read_redis_password,
)
from marianne_stream.server.memory import trim_heap_periodically
from marianne_stream.server.tasks import TaskSupervisor
from marianne_stream.web import openapi
from marianne_stream.web.app_keys import (
    AUTHENTICATOR,
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
from marianne_stream.web.host_policy import Cors, TrustedHosts, add_security_headers
from marianne_stream.web.http_server import ConnectionLimits, LimitedAppRunner
from marianne_stream.web.login_handlers import LoginPages
from marianne_stream.web.metrics import Metrics, ServerCollector
from marianne_stream.web.middleware import (
    add_response_headers,
    errors_as_json,
    make_request_context,
    reject_while_draining,
)
from marianne_stream.web.params import JOB_ID_RESOLVER
from marianne_stream.web.proxy_headers import TrustedProxies
from marianne_stream.web.routes import add_routes
from marianne_stream.web.stream_monitor import StreamMonitor
from marianne_stream.web.stream_registry import StreamRegistry

if TYPE_CHECKING:
    from marianne_stream.relay.edge.edge import Edge
    from marianne_stream.relay.publish.publisher import Publisher

TASKS = web.AppKey("TASKS", TaskSupervisor)

# The login form is the only request with a body.
MAX_FORM_BYTES = 16 * 1024
FORM_TIMEOUT_S = 10.0

# Allowance for connections that carry no stream: in total, and for each address.
NON_STREAM_CONNECTIONS = 128


@dataclass(frozen=True, slots=True)
class StateComponents:
    """Components that read state; without a conductor, its client and backend are None."""

    conductor_client: ConductorClient | None
    conductor_backend: ConductorBackend | None
    backend: Backend
    path_resolver: JobPathResolver


@dataclass(frozen=True, slots=True)
class LogComponents:
    """Components that read logs: files, and on an edge Redis by `feeds` and `locator`."""

    file_watcher: FileWatcher
    threads: LogThreads
    followers: LogFollowers
    file_locator: FileLogLocator
    feeds: LogFeedProvider
    locator: LogLocator


@dataclass(frozen=True, slots=True)
class Components:
    """All components of a server.

    Attributes:
        conductor_client: client of the conductor; None if the settings do not use the conductor.
        edge: reader of other servers' jobs from Redis; None unless this server is an edge.
        publisher: publisher to Redis; None unless this server is an origin.
        authenticator: tokens and sessions; None with `no_auth`.
    """

    conductor_client: ConductorClient | None
    edge: "Edge | None"
    backend: Backend
    job_hub: JobHub
    logs: LogComponents
    publisher: "Publisher | None"
    stream_registry: StreamRegistry
    download_limiter: DownloadLimiter
    metrics: Metrics
    authenticator: Authenticator | None
    tasks: TaskSupervisor

    async def lifespan(self, _app: web.Application) -> AsyncIterator[None]:
        """Run the background tasks while the server runs, then close the components."""
        start = self.tasks.start
        start("streams", StreamMonitor(self.stream_registry).run())
        start("downloads", self.download_limiter.run_revocation())
        start("metrics", self.metrics.run_lag_probe())
        start("memory", trim_heap_periodically(lambda: len(self.stream_registry)))
        start("jobs", self.job_hub.run())
        start("file watcher", self.logs.file_watcher.run())
        if self.authenticator is not None:
            await self.authenticator.open()
            start("sessions", self.authenticator.run_revocation())
        if (monitor := self.edge or self.conductor_client) is not None:
            start("conductor", monitor.run(self.job_hub))
        try:
            yield
            await self.logs.followers.close()
            await self.tasks.cancel()
            await self.backend.close()
        finally:
            # The process does not exit while the thread of the session database runs.
            if self.authenticator is not None:
                await self.authenticator.close()

    async def close_streams(self, _app: web.Application) -> None:
        """End all streams, if `shutdown` was not called before."""
        self.stream_registry.drain.finish_all()
        self.job_hub.begin_shutdown()
        await self.tasks.cancel("relay", "conductor", "jobs")
        # No client waits for the reads that still run.
        self.logs.threads.close()


def create_app(settings: Settings) -> web.Application:
    """Build the application of a server.

    `app[TASKS].failed` is set when a background task has failed: the process should then end.

    Raises:
        SettingsError: a component cannot be built from these settings.
    """
    components = build_components(settings)
    cors = Cors(settings.cors_origins)
    auth = AuthMiddleware(
        components.authenticator,
        trusted_hosts=TrustedHosts(settings.allowed_hosts),
        cors=cors,
        proxies=TrustedProxies(settings.trusted_proxies),
        public_paths=public_paths(settings),
    )
    app = web.Application(
        middlewares=[
            make_request_context(components.metrics),
            errors_as_json,
            auth.make_middleware(),
            reject_while_draining,
        ],
        client_max_size=MAX_FORM_BYTES,
    )
    app.on_response_prepare.extend((add_security_headers, cors.add_headers, add_response_headers))
    set_app_keys(app, components, settings)
    add_routes(app.router)
    add_frontend(app, auth, settings)
    publishing = make_publisher_lifespan(components.publisher, components.tasks.start)
    app.cleanup_ctx.extend((publishing, components.lifespan))
    app.on_shutdown.append(components.close_streams)
    return app


def set_app_keys(app: web.Application, components: Components, settings: Settings) -> None:
    """Store what the handlers need in the application."""
    edge = components.edge
    app[AUTHENTICATOR] = components.authenticator
    app[DOWNLOAD_LIMITER] = components.download_limiter
    app[JOB_HUB] = components.job_hub
    app[JOB_ID_RESOLVER] = edge.public_job_id if edge is not None else str
    app[LOG_FEEDS] = components.logs.feeds
    app[LOG_LOCATOR] = components.logs.locator
    app[MAX_DOWNLOAD_BYTES] = settings.max_download_bytes
    app[METRICS] = components.metrics
    app[NOT_SERVED] = edge.version_mismatches if edge is not None else list
    app[OPENAPI] = openapi.make_openapi_document()
    app[STREAM_REGISTRY] = components.stream_registry
    app[TASKS] = components.tasks


def add_frontend(app: web.Application, auth: AuthMiddleware, settings: Settings) -> None:
    """Add the routes of the page and of the login form."""
    templates = Templates()
    LoginPages(
        auth,
        templates,
        max_age_s=settings.session_max_age_s,
        form_timeout_s=min(FORM_TIMEOUT_S, settings.idle_timeout_s),
    ).add_routes(app.router)
    Frontend(auth, templates).add_routes(app.router)


def public_paths(settings: Settings) -> set[str]:
    """Return the paths that need no token."""
    optional = {"/ready": settings.public_ready, "/metrics": settings.public_metrics}
    return {path for path, is_public in optional.items() if is_public}


def make_runner(app: web.Application, settings: Settings) -> LimitedAppRunner:
    """Return a runner of the application, with the connection limits of the settings."""
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
    """Close the conductor's connections, then drain the streams. The sockets no longer listen.

    The streams end over `drain_timeout_s`, so that their clients do not reconnect all at once. If
    `force` is set, the remaining streams end at once.
    """
    job_hub, stream_registry, tasks = app[JOB_HUB], app[STREAM_REGISTRY], app[TASKS]
    stream_registry.drain.begin(drain_timeout_s)
    job_hub.begin_shutdown()
    # The relay's goodbye comes first: edges then report that the origin is gone.
    await tasks.cancel("relay")
    await tasks.cancel("conductor", "jobs")
    await stream_registry.drain.run(force)


def abort(app: web.Application, runner: LimitedAppRunner) -> None:
    """Abort all streams and connections at once; unsent data is lost."""
    app[STREAM_REGISTRY].drain.abort_all()
    runner.abort()


def status_line(app: web.Application) -> str:
    """Return a summary of the server's activity in one line."""
    streams, job_hub = app[STREAM_REGISTRY], app[JOB_HUB]
    if streams.is_draining:
        return f"draining; {len(streams)} streams still open"
    return (
        f"{len(streams)} streams open; {job_hub.watched_job_count} jobs watched; "
        f"conductor events {'live' if job_hub.events.is_live else 'not live'}"
    )


def build_components(settings: Settings) -> Components:
    """Build all components and join them. Raises as `create_app` does."""
    edge = make_edge(settings)
    state = build_state_components(settings)
    job_hub = make_job_hub(edge, state)
    logs = build_log_components(settings, job_hub, state.path_resolver, edge)
    publisher = make_publisher(settings, job_hub, logs)
    stream_registry = StreamRegistry(
        max_streams=settings.max_streams, max_streams_per_client=settings.max_streams_per_address
    )
    download_limiter = DownloadLimiter(settings.max_downloads, settings.max_downloads_per_address)
    collector = ServerCollector(stream_registry, job_hub, logs.feeds, download_limiter)
    metrics = Metrics([collector, RelayCollector(publisher, edge)])
    return Components(
        conductor_client=state.conductor_client,
        edge=edge,
        backend=edge if edge is not None else state.backend,
        job_hub=job_hub,
        logs=logs,
        publisher=publisher,
        stream_registry=stream_registry,
        download_limiter=download_limiter,
        metrics=metrics,
        authenticator=make_authenticator(settings),
        tasks=TaskSupervisor(),
    )


def make_edge(settings: Settings) -> "Edge | None":
    """Return the edge, or None unless Redis is the backend."""
    if settings.state_backend != "redis" or settings.redis_url is None:
        return None
    password = read_redis_password(settings.redis_password_file)
    edge_class: type[Edge] = load_with_redis("edge.edge", "Edge")
    return edge_class(
        settings.redis_url, password, prefix=settings.redis_prefix, source_names=settings.sources
    )


def make_publisher(settings: Settings, job_hub: JobHub, logs: LogComponents) -> "Publisher | None":
    """Return the publisher, or None unless the settings name a Redis and a source."""
    if settings.publish_url is None or settings.source_name is None:
        return None
    config = PublishConfig(
        url=settings.publish_url,
        password=read_redis_password(settings.redis_password_file),
        prefix=settings.redis_prefix,
        source_name=settings.source_name,
        public_url=settings.public_url,
        publishes_all_logs=settings.publish_logs == "all",
        max_log_lines=settings.redis_log_max_lines,
        log_ttl_s=settings.redis_log_ttl_s,
    )
    publisher_class: type[Publisher] = load_with_redis("publish.publisher", "Publisher")
    return publisher_class(job_hub, logs.file_locator, logs.followers, config)


def make_job_hub(edge: "Edge | None", state: StateComponents) -> JobHub:
    """Return the hub of the conductor's jobs, or of an edge's."""
    if edge is not None:
        buffer = ReplayBuffer(remote=True)
        return JobHub(edge, buffer, event_source_name="redis", job_groups=edge)
    conductor = state.conductor_backend
    return JobHub(
        state.backend,
        ReplayBuffer(),
        read_recent_events=conductor.read_recent_events if conductor is not None else None,
    )


def build_state_components(settings: Settings) -> StateComponents:
    """Build the components that read state."""
    client = config = conductor = None
    if settings.state_backend in ("auto", "conductor"):
        client = ConductorClient(settings.conductor_socket, events_mode=settings.conductor_events)
        config = DaemonConfigCache(client)
        conductor = ConductorBackend(client, config)
    registry_path = RegistryPath(
        config, configured_path=settings.registry_path, socket_path=settings.conductor_socket
    )
    registry = RegistryBackend(registry_path.find)
    backend: Backend = registry
    if settings.state_backend == "json" and settings.checkpoint_dir is not None:
        backend = CheckpointDirBackend(settings.checkpoint_dir)
    elif conductor is not None:
        is_alone = settings.state_backend == "conductor"
        backend = conductor if is_alone else FallbackBackend(conductor, registry)
    paths_on_disk = registry if settings.state_backend in ("auto", "registry") else None
    resolver = JobPathResolver(config, paths_on_disk, conductor_log_path=settings.conductor_log)
    return StateComponents(client, conductor, backend, resolver)


def build_log_components(
    settings: Settings, job_hub: JobHub, path_resolver: JobPathResolver, edge: "Edge | None"
) -> LogComponents:
    """Build the components that read logs."""
    file_watcher = FileWatcher(
        mode=settings.job_log_watch, poll_interval_s=settings.job_log_poll_interval_s
    )
    threads = LogThreads()
    followers = LogFollowers(job_hub, file_watcher)
    file_locator = FileLogLocator(job_hub, path_resolver, threads)
    feeds: LogFeedProvider = FileLogFeeds(file_locator, followers)
    locator: LogLocator = file_locator
    if edge is not None:
        feeds = load_with_redis("edge.relayed_feeds", "RelayedLogFeeds")(edge, job_hub, threads)
        locator = load_with_redis("edge.relayed_feeds", "OriginOnlyLocator")(edge, job_hub)
    return LogComponents(file_watcher, threads, followers, file_locator, feeds, locator)


def make_authenticator(settings: Settings) -> Authenticator | None:
    """Return the authenticator, or None if the settings turn authentication off."""
    if settings.no_auth:
        return None
    return Authenticator(
        ensure_token_source(settings.token_file, settings.data_dir),
        SessionStore(settings.data_dir, max_age_s=settings.session_max_age_s),
    )
