"""A simulated conductor: its jobs in memory, answered for at a real socket.

It joins the server, the operations on jobs and the registry. It must not know the rest of
marianne-stream, so that nothing is proved against its own reading of the protocol.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from marianne_stream.demo import jsonrpc
from marianne_stream.demo.checkpoint import Fields
from marianne_stream.demo.connection import unknown_method
from marianne_stream.demo.daemon import Daemon
from marianne_stream.demo.job import SimulatedJob, job_from_row
from marianne_stream.demo.jsonrpc import Refusal
from marianne_stream.demo.operations import Operations
from marianne_stream.demo.registry import Registry
from marianne_stream.demo.server import ConductorServer

OBSERVER_EVENTS_KEPT = 200


class SimulatedConductor(Operations, ConductorServer):
    """A conductor whose jobs do what a test or a scenario tells them.

    Args:
        socket_path: where it listens.
        registry: its SQLite file; None keeps jobs in memory only, and names a file that is not
            there in `daemon.config`.
        connections: how many connections are served at once.
        event_queue: how many events each subscription holds.
        max_jobs_listed: how many jobs the roster holds, the newest.
        shutdown_grace_s: seconds that stopping takes, even with nobody connected.
        sheet_events: emit `sheet.*` events, as other conductors do.
        log_file: the conductor's own log, as its configuration names it.
    """

    def __init__(  # noqa: PLR0913
        self,
        socket_path: Path,
        *,
        registry: Path | None = None,
        connections: int = 5,
        event_queue: int = 100,
        max_jobs_listed: int = 1000,
        shutdown_grace_s: float = 0.5,
        sheet_events: bool = False,
        log_file: Path | None = None,
    ) -> None:
        Operations.__init__(self, sheet_events=sheet_events)
        ConductorServer.__init__(
            self,
            socket_path,
            connections=connections,
            event_queue=event_queue,
            shutdown_grace_s=shutdown_grace_s,
        )
        self.daemon = Daemon(
            socket_path=str(socket_path),
            state_db_path=str(registry or socket_path.with_name("daemon-state.db")),
            log_file=None if log_file is None else str(log_file),
            connections=connections,
            max_job_history=max_jobs_listed,
        )

        # Called after every change of a job, with its id.
        self.listeners: list[Callable[[str], None]] = []
        self._registry = None if registry is None else Registry(registry)
        self._max_jobs_listed = max_jobs_listed
        self._announced: set[asyncio.TimerHandle] = set()
        self._observed: defaultdict[str, deque[Fields]] = defaultdict(
            lambda: deque(maxlen=OBSERVER_EVENTS_KEPT)
        )
        self._methods = self._method_table()

    async def start(self) -> None:
        """Listen. Jobs of the registry that are not in memory are loaded from it.

        A new conductor so begins with what an earlier one left. One that is started again goes on
        with its own jobs, as the real one goes on with the runs that it recovers.

        Raises:
            OSError: the socket cannot be bound, or somebody else listens there.
            sqlite3.Error: the registry cannot be read or written.
        """
        if not self.is_listening:
            await self._load()
        try:
            await super().start()
        except OSError:
            if self._registry is not None:
                await self._registry.close()
            raise
        self.daemon.started_s = time.monotonic()

    async def stop(self) -> None:
        """Stop as one that was asked to: see ConductorServer.stop. The registry is closed well.

        As the real one does, it writes the moment of its stop over the end of every job.
        """
        await super().stop()
        self._forget_announced()
        if self._registry is not None:
            for job in self.jobs.values():
                if job.completed_at is not None:
                    self._registry.put({**job.row(), "completed_at": time.time()})
            await self._registry.close()

    async def kill(self) -> None:
        """Go as a crashed process goes: the socket file and the registry's -wal file stay."""
        await super().kill()
        self._forget_announced()
        if self._registry is not None:
            await self._registry.abandon()

    async def flush(self) -> None:
        """Wait until the registry has every change made so far."""
        if self._registry is not None:
            await self._registry.flush()

    def answer(self, method: str, params: Mapping[str, object]) -> object:
        """Answer one method of the conductor's table."""
        known = self._methods.get(method)
        return unknown_method(method) if known is None else known(params)

    def emit(
        self, job_id: str, event: str, data: Mapping[str, Any] | None = None, sheet_num: int = 0
    ) -> None:
        """Send one event to every subscription, now.

        Args:
            job_id: the job that it names; empty for an event of the whole host.
            event: its name, any.
            data: what it says; None is sent as null.
            sheet_num: the sheet that it names; 0 for the whole job.
        """
        params: Fields = {
            "job_id": job_id,
            "sheet_num": sheet_num,
            "event": event,
            "data": None if data is None else dict(data),
            "timestamp": time.time(),
        }
        if event.startswith("observer."):
            self._observed[job_id].append(params)
        self.send_event(jsonrpc.notification_line(params))

    def emit_later(self, delay_s: float, job_id: str, event: str, data: Mapping[str, Any]) -> None:
        """Send one event after a delay, unless the conductor goes before; at once where it is 0."""
        if delay_s == 0:
            self.emit(job_id, event, data)
            return

        def announce() -> None:
            self._announced.discard(timer)
            self.emit(job_id, event, data)

        timer = asyncio.get_running_loop().call_later(delay_s, announce)
        self._announced.add(timer)

    def changed(self, job: SimulatedJob, *, saved: bool = True) -> None:
        """Hear that a job changed: write its row, and tell the listeners."""
        if self._registry is not None:
            if saved:
                job.save()
            self._registry.put(job.row())
        for listener in self.listeners:
            listener(job.job_id)

    def removed(self, job_id: str, *, keep_row: bool) -> None:
        """Hear that a job is gone from memory."""
        self._observed.pop(job_id, None)
        if self._registry is not None and not keep_row:
            self._registry.delete(job_id)
        for listener in self.listeners:
            listener(job_id)

    def _method_table(self) -> dict[str, Callable[[Mapping[str, object]], object]]:
        daemon, running = self.daemon, self._running_jobs
        return {
            "daemon.health": lambda _: daemon.health(shutting_down=self.shutting_down),
            "daemon.ready": lambda _: daemon.ready(running(), shutting_down=self.shutting_down),
            "daemon.status": lambda _: daemon.status(running()),
            "daemon.config": lambda _: daemon.config(),
            "daemon.observer_events": self._observer_events,
            "job.list": lambda _: self._job_list(),
            "job.status": self._job_status,
        }

    async def _load(self) -> None:
        if self._registry is not None:
            rows = await self._registry.open()
            self.jobs = {row["job_id"]: job_from_row(row) for row in rows} | self.jobs

    def _job_list(self) -> list[Fields]:
        newest = list(self.jobs.values())[-self._max_jobs_listed :]
        return [job.roster_entry() for job in newest]

    def _job_status(self, params: Mapping[str, object]) -> object:
        job = self._job_named_in(params)
        if isinstance(job, Refusal):
            return job
        if job.orphaned:
            self.find_orphan_dead(job)
        return job.status_answer()

    def _observer_events(self, params: Mapping[str, object]) -> object:
        """Answer with the recent events of running jobs, newest first: of one, or of all."""
        job_id, limit = params.get("job_id"), params.get("limit", 50)
        if not isinstance(limit, int) or limit < 1:
            return Refusal(jsonrpc.INVALID_PARAMS, "Invalid params: limit is a positive number")
        events = [
            event
            for job in self.jobs.values()
            if job.status == "running" and job_id in (None, job.job_id)
            for event in self._observed[job.job_id]
        ]
        events.sort(key=lambda event: float(event["timestamp"]), reverse=True)
        return {"events": events[:limit]}

    def _job_named_in(self, params: Mapping[str, object]) -> SimulatedJob | Refusal:
        job_id = params.get("job_id")
        if not isinstance(job_id, str):
            return Refusal(jsonrpc.INVALID_PARAMS, "Invalid params: job_id is a string")
        return self.jobs.get(job_id) or not_found(job_id)

    def _running_jobs(self) -> int:
        return sum(job.status == "running" for job in self.jobs.values())

    def _forget_announced(self) -> None:
        for timer in self._announced:
            timer.cancel()
        self._announced.clear()


def not_found(job_id: str) -> Refusal:
    """Give the refusal of a job that the conductor does not have."""
    return Refusal(jsonrpc.JOB_NOT_FOUND, f"Job '{job_id}' not found")
