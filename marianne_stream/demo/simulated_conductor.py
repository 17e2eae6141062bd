"""Simulated conductor: jobs in memory, served on a real socket.

The demo shares no protocol code with the rest of the package, so that tests do not check a reading
of the protocol against itself.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from marianne_stream.demo import rpc_messages
from marianne_stream.demo.checkpoint_fields import JsonObject
from marianne_stream.demo.daemon import Daemon
from marianne_stream.demo.rpc_messages import RpcErrorResult, method_not_found
from marianne_stream.demo.sheet_operations import SheetOperations
from marianne_stream.demo.simulated_job import make_job_from_row


class SimulatedConductor(SheetOperations):
    """Conductor whose jobs are controlled by a test or a scenario.

    Args:
        socket_path: path to listen on.
        registry: SQLite file of the registry; None keeps jobs in memory only, and `daemon.config`
            names a file that does not exist.
        max_connections: as for `ConductorServer`, like the other arguments without a description.
        max_listed_jobs: number of jobs in the roster, the newest.
        has_sheet_events: whether to emit `sheet.*` events, which conductor 0.1.0 does not.
        log_file: path of the conductor's log.
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
        super().__init__(
            socket_path,
            registry=registry,
            has_sheet_events=has_sheet_events,
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
            rate_limits_until=self.rate_limits_until,
        )
        self._max_listed_jobs = max_listed_jobs
        self._methods = self._make_methods()

    async def start(self) -> None:
        """Start to listen, and load jobs from the registry that are not in memory.

        Raises:
            OSError: the socket cannot be bound, or another process listens there.
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
        """Stop gracefully, as `ConductorServer.stop`, and close the registry.

        Like the real conductor, it overwrites the end of every job with the time of the stop.
        """
        await super().stop()
        self._cancel_event_timers()
        if self._registry is not None:
            for job in self.jobs.values():
                if job.completed_at is not None:
                    self._registry.put({**job.registry_row(), "completed_at": time.time()})
            await self._registry.close()

    async def kill(self) -> None:
        """Stop as after a crash: the socket file and the registry's -wal file stay."""
        await super().kill()
        self._cancel_event_timers()
        if self._registry is not None:
            await self._registry.close(leave_wal=True)

    async def flush(self) -> None:
        """Wait until the registry has all changes so far."""
        if self._registry is not None:
            await self._registry.flush()

    def answer(self, method: str, params: Mapping[str, object]) -> object:
        """Call a method of the conductor."""
        handler = self._methods.get(method)
        return method_not_found(method) if handler is None else handler(params)

    def _make_methods(self) -> dict[str, Callable[[Mapping[str, object]], object]]:
        daemon, running = self.daemon, self._count_running
        return {
            "daemon.health": lambda _: daemon.health(shutting_down=self.is_shutting_down),
            "daemon.ready": lambda _: daemon.ready(running(), shutting_down=self.is_shutting_down),
            "daemon.status": lambda _: daemon.status(running()),
            "daemon.config": lambda _: daemon.config(),
            "daemon.top": lambda _: daemon.top(list(self.jobs.values())),
            "daemon.rate_limits": lambda _: daemon.rate_limits(),
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
        job_id = params.get("job_id")
        if not isinstance(job_id, str):
            return RpcErrorResult(rpc_messages.INVALID_PARAMS, "Invalid params: job_id is a string")
        job = self.jobs.get(job_id)
        if job is None:
            return job_not_found(job_id)
        if job.is_orphaned:
            self.fail_orphan(job)
        return job.status_result()

    def _observer_events(self, params: Mapping[str, object]) -> object:
        """Return the latest observer events of running jobs, newest first."""
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

    def _count_running(self) -> int:
        return sum(job.status == "running" for job in self.jobs.values())

    def _cancel_event_timers(self) -> None:
        for timer in self._event_timers:
            timer.cancel()
        self._event_timers.clear()


def job_not_found(job_id: str) -> RpcErrorResult:
    """Return the error for an unknown job."""
    return RpcErrorResult(rpc_messages.JOB_NOT_FOUND, f"Job '{job_id}' not found")
