"""The composition root: builds all parts from the settings, joins, starts and stops them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from aiohttp import web

from marianne_stream.conductor.guest import ConductorGuest
from marianne_stream.errors import SettingsError
from marianne_stream.fanout.timeline import Timeline
from marianne_stream.feeds.followed import FollowedLogs
from marianne_stream.feeds.job_logs import JobLogs
from marianne_stream.jobs.watches import Watches
from marianne_stream.logs.alarms import Alarms
from marianne_stream.logs.threads import LogThreads
from marianne_stream.memory import give_back_freed
from marianne_stream.settings import Settings
from marianne_stream.state.auto import AutoSource
from marianne_stream.state.conductor import ConductorSource
from marianne_stream.state.json_dir import JsonDir
from marianne_stream.state.registry import Registry
from marianne_stream.state.source import StateSource
from marianne_stream.state.whereabouts import Whereabouts
from marianne_stream.web import openapi
from marianne_stream.web.keys import (
    DOWNLOAD_LIMIT_BYTES,
    FOLLOWED_LOGS,
    JOB_LOGS,
    OPENAPI,
    STREAMS,
    WATCHES,
)
from marianne_stream.web.middleware import errors_as_json
from marianne_stream.web.routes import add_routes
from marianne_stream.web.stream import Streams

logger = logging.getLogger(__name__)


class Background:
    """The tasks that run as long as the server does. One that ends by itself has failed.

    Attributes:
        failed: set when a task has failed.
        error: what it failed with.
    """

    def __init__(self) -> None:
        self.failed = asyncio.Event()
        self.error: BaseException | None = None
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

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self.error = task.exception() or RuntimeError("it ended by itself")
            logger.error("%s has failed", task.get_name(), exc_info=self.error)
            self.failed.set()


BACKGROUND = web.AppKey("BACKGROUND", Background)


def create_app(settings: Settings) -> web.Application:
    """The whole server as an application that is ready to be run.

    Its `BACKGROUND` tells when a part of it has failed: it serves no longer what it should, and had
    better end.
    """
    guest = ConductorGuest(settings.socket) if settings.state in ("auto", "conductor") else None
    source = state_source(settings, guest)
    watches = Watches(source, Timeline())
    alarms = Alarms(mode=settings.log_watch, poll_interval_s=settings.log_poll_interval)
    followed_logs = FollowedLogs(watches, alarms)
    threads = LogThreads()
    streams = Streams(max_streams=settings.max_streams)
    background = Background()

    async def run(_app: web.Application) -> AsyncIterator[None]:
        background.start("streams", streams.run())
        background.start("memory", give_back_freed())
        background.start("watches", watches.run())
        background.start("log alarms", alarms.run())
        if guest is not None:
            background.start("conductor", guest.run(watches))
        yield
        await followed_logs.close()
        await background.stop()
        threads.close()
        await source.close()

    async def leave(_app: web.Application) -> None:
        # The streams end before they could tell their viewers that the conductor is away: it is we
        # who leave.
        streams.close()
        await background.stop("conductor", "watches")

    app = web.Application(middlewares=[errors_as_json])
    app[WATCHES], app[STREAMS], app[BACKGROUND] = watches, streams, background
    app[JOB_LOGS] = JobLogs(watches, whereabouts(settings, guest), threads)
    app[FOLLOWED_LOGS] = followed_logs
    app[DOWNLOAD_LIMIT_BYTES] = settings.download_limit_bytes
    app[OPENAPI] = openapi.description()
    add_routes(app.router)
    app.cleanup_ctx.append(run)
    app.on_shutdown.append(leave)
    return app


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
