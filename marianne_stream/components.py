"""Components of a server: built from its settings, joined, started and closed."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from marianne_stream.auth.authenticator import Authenticator
from marianne_stream.auth.session_store import SessionStore
from marianne_stream.auth.token_source import (
    ensure_token_source,
    find_credentials_dir,
    is_credential,
)
from marianne_stream.auth.tokens import read_proxy_secret
from marianne_stream.backends.base import Backend
from marianne_stream.backends.checkpoint_dir import CheckpointDirBackend
from marianne_stream.backends.conductor import ConductorBackend
from marianne_stream.backends.fallback import FallbackBackend
from marianne_stream.backends.registry import RegistryBackend
from marianne_stream.backends.registry_path import (
    JobPathResolver,
    RegistryPath,
    expand_home,
    find_clone_name,
)
from marianne_stream.conductor.client import ConductorClient
from marianne_stream.conductor.daemon_config import DaemonConfigCache
from marianne_stream.config.settings import Settings
from marianne_stream.errors import StateUnreadableError
from marianne_stream.fanout.replay_buffer import ReplayBuffer
from marianne_stream.feeds.log_feeds import FileLogFeeds, LogFeedProvider
from marianne_stream.feeds.log_follower import LogFollowers
from marianne_stream.feeds.log_locator import FileLogLocator, LogLocator
from marianne_stream.feeds.log_mtime import make_log_mtime_reader
from marianne_stream.files.file_rules import FileRules
from marianne_stream.files.workspaces import Workspaces
from marianne_stream.history.history import History
from marianne_stream.history.store import history_path
from marianne_stream.jobs.hub import JobHub
from marianne_stream.jobs.stall_monitor import StallMonitor
from marianne_stream.logs.file_watcher import FileWatcher
from marianne_stream.logs.log_threads import LogThreads
from marianne_stream.notify.notifications import NotificationCollector, Notifications
from marianne_stream.relay.collectors import RelayCollector
from marianne_stream.relay.publish.config import PublishConfig
from marianne_stream.relay.setup import load_with_redis, make_edge_logs, read_redis_password
from marianne_stream.server.memory import trim_heap_periodically
from marianne_stream.server.tasks import TaskSupervisor
from marianne_stream.web.job_metrics import ConductorCollector, HistoryCollector, JobCollector
from marianne_stream.web.limits import DownloadLimiter
from marianne_stream.web.metrics import Metrics, ServerCollector
from marianne_stream.web.sign_on_headers import SignOnHeaders
from marianne_stream.web.stream_monitor import monitor_streams
from marianne_stream.web.stream_registry import StreamRegistry

if TYPE_CHECKING:
    from marianne_stream.relay.edge.edge import Edge
    from marianne_stream.relay.publish.publisher import Publisher


class Components:
    """All components of a server, built from its settings and joined.

    Raises SettingsError if a component cannot be built from these settings.

    Attributes:
        workspaces: files of the jobs; None if the settings turn them off.
        edge: reader of other servers' jobs from Redis; None unless this server is an edge.
        conductor: backend of the conductor; None if the settings do not use it.
        history: records of the jobs; None on an edge, or if the settings turn it off.
        notifications: rules and delivery of notifications; None without rules.
        publisher: publisher to Redis; None unless this server is an origin.
        authenticator: tokens and sessions; None with `no_auth`.
        sign_on: headers of a proxy that signs users in; None if the settings name none.
    """

    def __init__(self, settings: Settings) -> None:
        self.edge = make_edge(settings)
        self.conductor = make_conductor_backend(settings)
        config = self.conductor.daemon_config if self.conductor is not None else None
        registry = make_registry(settings, config)
        self.backend = self.edge or select_backend(settings, self.conductor, registry)
        self.job_hub = make_job_hub(settings, self.backend, self.edge, self.conductor)
        self.history = make_history(settings, self.job_hub) if self.edge is None else None
        self.notifications = make_notifications(settings, self.history, self.job_hub)
        self.file_watcher = FileWatcher(
            mode=settings.job_log_watch, poll_interval_s=settings.job_log_poll_interval_s
        )
        self.log_threads = LogThreads()
        self.followers = LogFollowers(self.job_hub, self.file_watcher)
        paths = JobPathResolver(
            config,
            registry if settings.state_backend in ("auto", "registry") else None,
            conductor_log_path=settings.conductor_log,
        )
        file_locator = FileLogLocator(self.job_hub, paths, self.log_threads)
        self.log_locator: LogLocator = file_locator
        self.stall_monitor = StallMonitor(self.job_hub, make_log_mtime_reader(file_locator))
        self.log_feeds: LogFeedProvider = FileLogFeeds(file_locator, self.followers)
        if self.edge is not None:
            self.log_locator, self.log_feeds = make_edge_logs(
                self.edge, self.job_hub, self.log_threads
            )
        rules = FileRules(settings.files_exclude, make_protected_finder(settings, config, registry))
        self.workspaces = make_workspaces(self, rules) if settings.files else None
        self.publisher = make_publisher(settings, self.job_hub, file_locator, self.followers)
        self.stream_registry = StreamRegistry(
            max_streams=settings.max_streams,
            max_streams_per_client=settings.max_streams_per_address,
        )
        self.download_limiter = DownloadLimiter(
            settings.max_downloads, settings.max_downloads_per_address
        )
        self.metrics = make_metrics(self)
        self.authenticator = make_authenticator(settings)
        self.sign_on = make_sign_on(settings)
        self.tasks = TaskSupervisor()

    async def lifespan(self, _app: web.Application) -> AsyncIterator[None]:
        """Run the background tasks while the server runs, then close the components."""
        start = self.tasks.start
        if self.publisher is not None:
            # The lock of the source first: without it, the server must not start.
            await self.publisher.acquire_lock()
        if self.history is not None:
            # Before the first event is published or sent.
            await self.history.open()
            start("history", self.history.run())
        if self.notifications is not None:
            start("notifications", self.notifications.run())
        if self.publisher is not None:
            start("relay", self.publisher.run())
        start("streams", monitor_streams(self.stream_registry))
        start("downloads", self.download_limiter.run_revocation())
        start("metrics", self.metrics.run_lag_probe())
        start("memory", trim_heap_periodically(lambda: len(self.stream_registry)))
        start("jobs", self.job_hub.run())
        start("file watcher", self.file_watcher.run())
        if self.authenticator is not None:
            await self.authenticator.session_store.open()
            start("sessions", self.authenticator.run_revocation())
        if self.edge is not None:
            start("conductor", self.edge.run(self.job_hub))
        else:
            start("stalled", self.stall_monitor.run())
        if self.conductor is not None:
            start("conductor", self.conductor.client.run(self.job_hub))
        try:
            yield
            await self.followers.close()
            await self.tasks.cancel()
            await self.backend.close()
        finally:
            # The process does not exit while the threads of the databases run.
            if self.history is not None:
                await self.history.close()
            if self.authenticator is not None:
                await self.authenticator.session_store.close()

    async def close_streams(self, _app: web.Application) -> None:
        """End all streams, if `shutdown` was not called before."""
        self.stream_registry.finish_all()
        self.job_hub.begin_shutdown()
        await self.tasks.cancel("relay", "conductor", "jobs")
        # No client waits for the reads that still run.
        self.log_threads.close()


def make_edge(settings: Settings) -> "Edge | None":
    """Return the edge, or None unless Redis is the backend."""
    if settings.state_backend != "redis" or settings.redis_url is None:
        return None
    password = read_redis_password(settings.redis_password_file)
    edge_class: type[Edge] = load_with_redis("edge.edge", "Edge")
    return edge_class(
        settings.redis_url, password, prefix=settings.redis_prefix, source_names=settings.sources
    )


def make_publisher(
    settings: Settings, job_hub: JobHub, locator: FileLogLocator, followers: LogFollowers
) -> "Publisher | None":
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
    return publisher_class(job_hub, locator, followers, config)


def make_job_hub(
    settings: Settings,
    backend: Backend,
    edge: "Edge | None",
    conductor: ConductorBackend | None,
) -> JobHub:
    """Return the hub of the conductor's jobs, or of an edge's."""
    source = edge or conductor
    hub = JobHub(
        backend,
        ReplayBuffer(remote=edge is not None),
        event_source_name="redis" if edge is not None else "conductor",
        read_recent_events=conductor.read_recent_events if conductor is not None else None,
        find_limiter=edge.read_limiter if edge is not None else None,
        read_conductors=source.read_conductors if source is not None else None,
    )
    hub.roster.progress.stalled_after_s = settings.stalled_after_s
    hub.roster.progress.clone = find_clone_name(settings.conductor_socket)
    return hub


def make_history(settings: Settings, job_hub: JobHub) -> History | None:
    """Return the history of the conductor that is read, or None if it is turned off."""
    if settings.history == "none":
        return None
    source = settings.conductor_socket
    if settings.state_backend == "json" and settings.checkpoint_dir is not None:
        source = settings.checkpoint_dir
    elif settings.state_backend == "registry" and settings.registry_path is not None:
        source = settings.registry_path
    return History(
        history_path(settings.data_dir, source),
        max_age_s=settings.history_max_age_s,
        max_bytes=settings.history_max_bytes,
        hub=job_hub,
    )


def make_notifications(
    settings: Settings, history: History | None, job_hub: JobHub
) -> Notifications | None:
    """Return the notifications, or None unless the settings have rules."""
    if history is None or not settings.notifications:
        return None
    return Notifications(
        settings.notifications, history.store, job_hub, public_url=settings.public_url
    )


def make_workspaces(components: Components, rules: FileRules) -> Workspaces:
    """Return the workspaces of the jobs."""
    return Workspaces(
        components.job_hub,
        components.log_locator,
        components.log_threads,
        components.followers,
        rules,
    )


def make_protected_finder(
    settings: Settings, config: DaemonConfigCache | None, registry: RegistryBackend
) -> Callable[[], Iterator[Path]]:
    """Return the function that yields the files and folders that no job may make readable."""

    def find() -> Iterator[Path]:
        yield from filter(None, (settings.data_dir, *settings.private_files))
        credentials = find_credentials_dir()
        if credentials is not None:
            yield credentials
        if config is not None and config.value is not None and config.value.log_file is not None:
            yield expand_home(config.value.log_file)
        with suppress(StateUnreadableError):
            path = registry.find_path()
            # With its write-ahead log.
            yield from (path, Path(f"{path}-wal"), Path(f"{path}-shm"))

    return find


def make_conductor_backend(settings: Settings) -> ConductorBackend | None:
    """Return the backend of the conductor, or None if the settings do not use it."""
    if settings.state_backend not in ("auto", "conductor"):
        return None
    client = ConductorClient(settings.conductor_socket, events_mode=settings.conductor_events)
    return ConductorBackend(client, DaemonConfigCache(client))


def make_registry(settings: Settings, config: DaemonConfigCache | None) -> RegistryBackend:
    """Return the backend of the registry that the settings or the conductor name."""
    path = RegistryPath(
        config, configured_path=settings.registry_path, socket_path=settings.conductor_socket
    )
    return RegistryBackend(path.find)


def select_backend(
    settings: Settings, conductor: ConductorBackend | None, registry: RegistryBackend
) -> Backend:
    """Return the backend of a server that is not an edge."""
    if settings.state_backend == "json" and settings.checkpoint_dir is not None:
        return CheckpointDirBackend(settings.checkpoint_dir)
    if conductor is None:
        return registry
    is_alone = settings.state_backend == "conductor"
    return conductor if is_alone else FallbackBackend(conductor, registry)


def make_authenticator(settings: Settings) -> Authenticator | None:
    """Return the authenticator, or None if the settings turn authentication off."""
    if settings.no_auth:
        return None
    return Authenticator(
        ensure_token_source(settings.token_file, settings.data_dir),
        SessionStore(settings.data_dir, max_age_s=settings.session_max_age_s),
    )


def make_sign_on(settings: Settings) -> SignOnHeaders | None:
    """Return the headers of a proxy that signs users in, or None if the settings name none."""
    if settings.auth_user_header is None:
        return None
    secret, path = None, settings.auth_header_secret_file
    if path is not None:
        secret = read_proxy_secret(path, passed_by_systemd=is_credential(path))
    return SignOnHeaders(
        settings.auth_user_header,
        jobs_header=settings.auth_jobs_header,
        secret=secret,
        max_age_s=settings.auth_header_max_age_s,
    )


def make_metrics(components: Components) -> Metrics:
    """Return the metrics of all components."""
    hub = components.job_hub
    return Metrics(
        [
            ServerCollector(
                components.stream_registry, hub, components.log_feeds, components.download_limiter
            ),
            JobCollector(hub),
            ConductorCollector(hub),
            HistoryCollector(components.history),
            NotificationCollector(components.notifications),
            RelayCollector(components.publisher, components.edge),
        ]
    )
