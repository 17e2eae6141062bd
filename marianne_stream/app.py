"""The composition root: builds all parts from the settings, joins, starts and stops them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from aiohttp import web

from marianne_stream.access.keeper import Keeper
from marianne_stream.access.places import token_place
from marianne_stream.access.sessions import Sessions
from marianne_stream.conductor.guest import ConductorGuest
from marianne_stream.errors import SettingsError
from marianne_stream.fanout.timeline import Timeline
from marianne_stream.feeds.followed import FollowedLogs
from marianne_stream.feeds.job_logs import JobLogs
from marianne_stream.feeds.log_streams import FileLogStreams
from marianne_stream.jobs.watches import Watches
from marianne_stream.logs.alarms import Alarms
from marianne_stream.logs.threads import LogThreads
from marianne_stream.memory import give_back_freed
from marianne_stream.relaying import edge_logs, edge_of, publisher_of, publishing
from marianne_stream.settings import Settings
from marianne_stream.state.auto import AutoSource
from marianne_stream.state.conductor import ConductorSource
from marianne_stream.state.json_dir import JsonDir
from marianne_stream.state.registry import Registry
from marianne_stream.state.source import StateSource
from marianne_stream.state.whereabouts import Whereabouts
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

logger = logging.getLogger(__name__)


# What lasts is said once in so long.
SAID_AGAIN_S = 60.0


class Background:
    """The tasks that run as long as the server does. One that ends by itself has failed.

    Attributes:
        failed: set when a task has failed.
        error: what it failed with.
    """

    def __init__(self) -> None:
        self.failed = asyncio.Event()
        self.error: BaseException | None = None
        # That no connection could be accepted.
        self._said_at = -SAID_AGAIN_S
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Starts a task."""
        task = asyncio.create_task(work, name=name)
        self._tasks[name] = task
        task.add_done_callback(self._on_done)

    async def stop(self, *names: str) -> None:
        """Cancels the named tasks, all where none is named, and returns when they have ended."""
        tasks = [
            self._tasks.pop(name) for name in names or list(self._tasks) if name in self._tasks
        ]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def on_loop_fault(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Takes what the loop cannot tell anybody else; a fault of ours ends the server.

        A client whose connection fails is none, and neither is a connection that the loop itself
        could not accept (accept(2), ERRORS).
        """
        error = context.get("exception")
        ours = {"task", "future", "handle"} & context.keys()
        callback = getattr(context.get("handle"), "_callback", None)
        if isinstance(error, OSError) and "socket" in context:
            # Each connection that waits is one, again and again.
            if loop.time() - self._said_at >= SAID_AGAIN_S:
                self._said_at = loop.time()
                logger.warning("connections wait and cannot be accepted: %s", error.strerror)
            return
        if error is None or not ours or of_asyncio(callback):
            loop.default_exception_handler(context)
            return
        self._fail(str(context.get("message")), error)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            error = task.exception() or RuntimeError("it ended by itself")
            self._fail(f"{task.get_name()} has failed", error)

    def _fail(self, what: str, error: BaseException) -> None:
        logger.error("%s", what, exc_info=error)
        if self.error is None:
            self.error = error
        self.failed.set()


def of_asyncio(callback: object) -> bool:
    """Whether a callback of the loop is one of its own."""
    return (getattr(callback, "__module__", "") or "").startswith("asyncio.")


BACKGROUND = web.AppKey("BACKGROUND", Background)
KEEPER: web.AppKey[Keeper | None] = web.AppKey("KEEPER")

# Only who signs in sends anything but a head: a token, and where to go on to.
FORM_LIMIT_BYTES = 16 * 1024
FORM_LIMIT_S = 10.0


def create_app(settings: Settings) -> web.Application:
    """The whole server as an application that is ready to be run.

    Its `BACKGROUND` tells when a part of it has failed: it serves no longer what it should, and had
    better end.
    """
    guest = ConductorGuest(settings.socket) if settings.state in ("auto", "conductor") else None
    edge = edge_of(settings)
    source = edge if edge is not None else state_source(settings, guest)
    watches = Watches(
        source,
        Timeline(of_others=edge is not None),
        events_from="conductor" if edge is None else "redis",
    )
    alarms = Alarms(mode=settings.log_watch, poll_interval_s=settings.log_poll_interval)
    followed_logs = FollowedLogs(watches, alarms)
    threads = LogThreads()
    streams = Streams(
        max_streams=settings.max_streams, max_streams_of_one=settings.max_streams_per_address
    )
    keeper = None if settings.insecure else keeper_of(settings)
    sites = Sites(settings.allowed_hosts, settings.cors_origins)
    gate = Gate(
        keeper,
        sites=sites,
        proxies=Proxies(settings.trusted_proxies),
        open_paths=open_paths(settings),
    )
    job_logs = JobLogs(watches, whereabouts(settings, guest), threads)
    background = Background()

    async def run(_app: web.Application) -> AsyncIterator[None]:
        background.start("streams", streams.run())
        background.start("downloads", downloads.run())
        background.start("metrics", metrics.run())
        background.start("memory", give_back_freed(lambda: len(streams)))
        background.start("watches", watches.run())
        background.start("log alarms", alarms.run())
        if keeper is not None:
            background.start("sessions", keeper.run())
        if (monitor := edge or guest) is not None:
            background.start("conductor", monitor.run(watches))
        yield
        await followed_logs.close()
        await background.stop()
        threads.close()
        await source.close()

    async def hang_up(_app: web.Application) -> None:
        # Where `leave` was not called before.
        streams.close()
        watches.leave()
        await background.stop("relay", "conductor", "watches")

    downloads = Downloads(settings.max_downloads)
    log_streams, finder = (
        edge_logs(edge, watches)
        if edge is not None
        else (FileLogStreams(job_logs, followed_logs), job_logs)
    )
    metrics = Metrics(streams, watches, log_streams, downloads)
    app = web.Application(
        middlewares=[observing(metrics), errors_as_json, gate.middleware(), unless_leaving],
        client_max_size=FORM_LIMIT_BYTES,
    )
    app.on_response_prepare.extend((sites.on_prepare, on_prepare))
    app[KEEPER], app[OPENAPI] = keeper, openapi.description()
    app[WATCHES], app[STREAMS], app[BACKGROUND] = watches, streams, background
    app[LOG_STREAMS], app[JOB_LOGS] = log_streams, finder
    app[JOB_NAMES] = edge.name_of if edge is not None else str
    app[DOWNLOAD_LIMIT_BYTES] = settings.download_limit_bytes
    app[DOWNLOADS], app[METRICS] = downloads, metrics
    add_routes(app.router)
    add_pages(app, gate, settings)
    publisher = publisher_of(settings, watches, job_logs, followed_logs)
    app.cleanup_ctx.extend((publishing(publisher, background.start), run))
    app.on_shutdown.append(hang_up)
    return app


def add_pages(app: web.Application, gate: Gate, settings: Settings) -> None:
    """Puts the pages for people into a server."""
    templates = Templates()
    SignIn(
        gate,
        templates,
        max_age_s=settings.session_max_age,
        form_limit_s=min(FORM_LIMIT_S, settings.idle_timeout),
    ).add_routes(app.router)
    Pages(gate, templates).add_routes(app.router)


def open_paths(settings: Settings) -> set[str]:
    """The addresses that ask for no token by these settings."""
    wanted = {"/ready": settings.open_ready, "/metrics": settings.open_metrics}
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
        idle_timeout_s=settings.idle_timeout,
        max_head_bytes=settings.max_head_bytes,
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
    watches.leave()
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
        f"{len(streams)} streams open; {watches.watched_jobs} jobs watched; "
        f"events {'come in' if watches.events_live else 'do not come in'}"
    )


def keeper_of(settings: Settings) -> Keeper:
    """Who lets in, as the settings say; a token is made where none is named.

    Raises:
        SettingsError: the tokens cannot be read or made.
    """
    place = token_place(settings.token_file, settings.private_dir)
    try:
        settings.private_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        logger.warning("sessions end with this process: no %s: %s", settings.private_dir, error)
    sessions = Sessions(settings.private_dir, max_age_s=settings.session_max_age)
    return Keeper(place.read, sessions, own=place.own, made=place.made, source=place.described)


def state_source(settings: Settings, guest: ConductorGuest | None) -> StateSource:
    """Where state is read, as the settings say."""
    if settings.state == "json":
        if settings.state_dir is None:
            raise SettingsError("state json needs state_dir")
        return JsonDir(settings.state_dir)
    registry = Registry(settings.registry)
    if guest is None:
        return registry
    conductor = ConductorSource(guest)
    return conductor if settings.state == "conductor" else AutoSource(conductor, registry)


def whereabouts(settings: Settings, guest: ConductorGuest | None) -> Whereabouts:
    """Who knows where logs lie, as the settings say."""
    registry = Registry(settings.registry) if settings.state in ("auto", "registry") else None
    return Whereabouts(guest, registry, conductor_log=settings.conductor_log)
