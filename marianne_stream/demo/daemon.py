"""Responses to the `daemon.*` methods."""

import os
import resource
import time
from dataclasses import dataclass, field

from marianne_stream.demo.checkpoint_fields import JsonObject

VERSION = "0.1.0"


@dataclass(slots=True)
class Daemon:
    """A run of a conductor's process.

    Attributes:
        rate_limits_until: instruments with a rate limit, each with its end in epoch seconds.
    """

    socket_path: str
    state_db_path: str
    log_file: str | None = None
    max_connections: int = 5
    max_job_history: int = 1000
    pid: int = field(default_factory=os.getpid)
    started_s: float = field(default_factory=time.monotonic)
    pressure_level: str = "none"
    rate_limits_until: dict[str, float] = field(default_factory=dict)

    @property
    def uptime_s(self) -> float:
        """Return the seconds since the start."""
        return round(time.monotonic() - self.started_s, 1)

    def health(self, *, shutting_down: bool) -> JsonObject:
        """Return the response to `daemon.health`."""
        return {
            "status": "ok",
            "pid": self.pid,
            "uptime_seconds": self.uptime_s,
            "shutting_down": shutting_down,
        }

    def ready(self, running_jobs: int, *, shutting_down: bool) -> JsonObject:
        """Return the response to `daemon.ready`."""
        return {
            "status": "not_ready" if shutting_down else "ready",
            "running_jobs": running_jobs,
            "memory_mb": peak_memory_mb(),
            "child_processes": 0,
            "accepting_work": not shutting_down,
            "shutting_down": shutting_down,
            "failure_rate_elevated": False,
            "notifications_degraded": False,
            "uptime_seconds": self.uptime_s,
        }

    def status(self, running_jobs: int) -> JsonObject:
        """Return the response to `daemon.status`."""
        return {
            "pid": self.pid,
            "uptime_seconds": self.uptime_s,
            "running_jobs": running_jobs,
            "total_jobs_active": running_jobs,
            "memory_usage_mb": peak_memory_mb(),
            "version": VERSION,
        }

    def top(self, running_jobs: int) -> JsonObject:
        """Return a part of the response to `daemon.top`."""
        one, five, fifteen = os.getloadavg()
        return {
            "timestamp": time.time(),
            "daemon_pid": self.pid,
            "system_memory_total_mb": 16_000.0,
            "system_memory_available_mb": 8_000.0,
            "daemon_rss_mb": peak_memory_mb(),
            "load_avg_1": one,
            "load_avg_5": five,
            "load_avg_15": fifteen,
            "processes": [],
            "pressure_level": self.pressure_level,
            "running_jobs": running_jobs,
            "conductor_uptime_seconds": self.uptime_s,
        }

    def rate_limits(self) -> JsonObject:
        """Return the response to `daemon.rate_limits`."""
        now = time.time()
        active = {name: until - now for name, until in self.rate_limits_until.items()}
        backends = {
            name: {"seconds_remaining": left_s} for name, left_s in active.items() if left_s > 0
        }
        return {"backends": backends, "active_limits": len(backends), "recent_events_count": 0}

    def config(self) -> JsonObject:
        """Return a part of the response to `daemon.config`."""
        return {
            "socket": {
                "path": self.socket_path,
                "permissions": 0o660,
                "backlog": self.max_connections,
            },
            "pid_file": None,
            "max_concurrent_jobs": 15,
            "max_concurrent_sheets": 25,
            "state_backend_type": "sqlite",
            "state_db_path": self.state_db_path,
            "log_level": "info",
            "log_file": self.log_file,
            "job_timeout_seconds": 86400.0,
            "shutdown_timeout_seconds": 300.0,
            "monitor_interval_seconds": 15.0,
            "max_job_history": self.max_job_history,
            "observer": {"enabled": True, "watch_interval_seconds": 2.0, "max_queue_size": 1000},
        }


def peak_memory_mb() -> float:
    """Return the peak memory of this process in MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
