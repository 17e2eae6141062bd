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

from marianne_stream.demo import rpc_messages
from marianne_stream.demo.checkpoint_fields import JsonObject
from marianne_stream.demo.client_connection import method_not_found
from marianne_stream.demo.conductor_server import ConductorServer
from marianne_stream.demo.daemon import Daemon
from marianne_stream.demo.job_operations import JobOperations
from marianne_stream.demo.registry_writer import RegistryWriter
from marianne_stream.demo.rpc_messages import RpcErrorResult
from marianne_stream.demo.simulated_job import SimulatedJob, make_job_from_row

MAX_OBSERVER_EVENTS = 200


class SimulatedConductor(JobOperations, ConductorServer):
    """A conductor whose jobs do what a test or a scenario tells them.

    Args:
        socket_path: where it listens.
        registry: its SQLite file; None keeps jobs in memory only, and names a file that is not
            there in `daemon.config`.
        max_connections: how many connections are served at once.
        max_queued_events: how many events each subscription holds.
        max_listed_jobs: how many jobs the roster holds, the newest.
        shutdown_grace_s: seconds that stopping takes, even with nobody connected.
        has_sheet_events: emit `sheet.*` events, as other conductors do.
        log_file: the conductor's own log, as its configuration names it.
    """

    def __init__(  # noqa: PLR0913
        self,
        socket_path: Path,
        *,
        registry: Path | None = None,
        max_connections: int = 5,
        max_queued_events: int = 100,
        max_listed_jobs: int = 1000,
        shutdown_grace_s: float = 0.5,
        has_sheet_events: bool = False,
        log_file: Path | None = None,
    ) -> None:
        JobOperations.__init__(self, has_sheet_events=has_sheet_events)
        ConductorServer.__init__(
            self,
            socket_path,
            max_connections=max_connections,
            max_queued_events=max_queued_events,
            shutdown_grace_s=shutdown_grace_s,
        )
        self.daemon = Daemon(
            socket_path=str(socket_path),
            state_db_path=str(registry or socket_path.with_name("daemon-state.db")),
            log_file=None if log_file is None else str(log_file),
            max_connections=max_connections,
            max_job_history=max_listed_jobs,
        )

        # Called after every change of a job, with its id.
        self.job_listeners: list[Callable[[str], None]] = []
        self._registry = None if registry is None else RegistryWriter(registry)
        self._max_listed_jobs = max_listed_jobs
        self._event_timers: set[asyncio.TimerHandle] = set()
        self._observer_events_by_job: defaultdict[str, deque[JsonObject]] = defaultdict(
            lambda: deque(maxlen=MAX_OBSERVER_EVENTS)
        )
        self._methods = self._make_methods()

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
        self._cancel_event_timers()
        if self._registry is not None:
            for job in self.jobs.values():
                if job.completed_at is not None:
                    self._registry.put({**job.registry_row(), "completed_at": time.time()})
            await self._registry.close()

    async def kill(self) -> None:
        """Go as a crashed process goes: the socket file and the registry's -wal file stay."""
        await super().kill()
        self._cancel_event_timers()
        if self._registry is not None:
            await self._registry.crash()

    async def flush(self) -> None:
        """Wait until the registry has every change made so far."""
        if self._registry is not None:
            await self._registry.flush()

    def answer(self, method: str, params: Mapping[str, object]) -> object:
        """Answer one method of the conductor's table."""
        known = self._methods.get(method)
        return method_not_found(method) if known is None else known(params)

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
        params: JsonObject = {
            "job_id": job_id,
            "sheet_num": sheet_num,
            "event": event,
            "data": None if data is None else dict(data),
            "timestamp": time.time(),
        }
        if event.startswith("observer."):
            self._observer_events_by_job[job_id].append(params)
        self.send_event(rpc_messages.encode_notification(params))

    def emit_later(self, delay_s: float, job_id: str, event: str, data: Mapping[str, Any]) -> None:
        """Send one event after a delay, unless the conductor goes before; at once where it is 0."""
        if delay_s == 0:
            self.emit(job_id, event, data)
            return

        def announce() -> None:
            self._event_timers.discard(timer)
            self.emit(job_id, event, data)

        timer = asyncio.get_running_loop().call_later(delay_s, announce)
        self._event_timers.add(timer)

    def on_job_changed(self, job: SimulatedJob, *, is_saved: bool = True) -> None:
        """Hear that a job changed: write its row, and tell the listeners."""
        if self._registry is not None:
            if is_saved:
                job.save_checkpoint()
            self._registry.put(job.registry_row())
        for listener in self.job_listeners:
            listener(job.job_id)

    def on_job_removed(self, job_id: str, *, keep_row: bool) -> None:
        """Hear that a job is gone from memory."""
        self._observer_events_by_job.pop(job_id, None)
        if self._registry is not None and not keep_row:
            self._registry.delete(job_id)
        for listener in self.job_listeners:
            listener(job_id)

    def _make_methods(self) -> dict[str, Callable[[Mapping[str, object]], object]]:
        daemon, running = self.daemon, self._count_running
        return {
            "daemon.health": lambda _: daemon.health(shutting_down=self.is_shutting_down),
            "daemon.ready": lambda _: daemon.ready(running(), shutting_down=self.is_shutting_down),
            "daemon.status": lambda _: daemon.status(running()),
            "daemon.config": lambda _: daemon.config(),
            "daemon.observer_events": self._observer_events,
            "job.list": lambda _: self._job_list(),
            "job.status": self._job_status,
        }

    async def _load(self) -> None:
        if self._registry is not None:
            rows = await self._registry.open()
            self.jobs = {row["job_id"]: make_job_from_row(row) for row in rows} | self.jobs

    def _job_list(self) -> list[JsonObject]:
        newest = list(self.jobs.values())[-self._max_listed_jobs :]
        return [job.roster_entry() for job in newest]

    def _job_status(self, params: Mapping[str, object]) -> object:
        job = self._find_job(params)
        if isinstance(job, RpcErrorResult):
            return job
        if job.is_orphaned:
            self.fail_orphan(job)
        return job.status_result()

    def _observer_events(self, params: Mapping[str, object]) -> object:
        """Answer with the recent events of running jobs, newest first: of one, or of all."""
        job_id, limit = params.get("job_id"), params.get("limit", 50)
        if not isinstance(limit, int) or limit < 1:
            return RpcErrorResult(
                rpc_messages.INVALID_PARAMS, "Invalid params: limit is a positive number"
            )
        events = [
            event
            for job in self.jobs.values()
            if job.status == "running" and job_id in (None, job.job_id)
            for event in self._observer_events_by_job[job.job_id]
        ]
        events.sort(key=lambda event: float(event["timestamp"]), reverse=True)
        return {"events": events[:limit]}

    def _find_job(self, params: Mapping[str, object]) -> SimulatedJob | RpcErrorResult:
        job_id = params.get("job_id")
        if not isinstance(job_id, str):
            return RpcErrorResult(rpc_messages.INVALID_PARAMS, "Invalid params: job_id is a string")
        return self.jobs.get(job_id) or job_not_found(job_id)

    def _count_running(self) -> int:
        return sum(job.status == "running" for job in self.jobs.values())

    def _cancel_event_timers(self) -> None:
        for timer in self._event_timers:
            timer.cancel()
        self._event_timers.clear()


def job_not_found(job_id: str) -> RpcErrorResult:
    """Give the refusal of a job that the conductor does not have."""
    return RpcErrorResult(rpc_messages.JOB_NOT_FOUND, f"Job '{job_id}' not found")
