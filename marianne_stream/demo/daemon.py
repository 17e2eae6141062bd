"""Responses to the `daemon.*` methods."""

import os
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from marianne_stream.demo.checkpoint_fields import JsonObject
from marianne_stream.demo.simulated_job import SimulatedJob

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

    def top(self, jobs: Sequence[SimulatedJob]) -> JsonObject:
        """Return the response to `daemon.top`: the host's load, and a process for each sheet."""
        load = os.getloadavg()
        running = [job for job in jobs if job.status == "running"]
        processes = [
            make_process(job.job_id, number, since_s)
            for job in running
            for number, since_s in job.dispatched_at.items()
        ]
        return {
            "timestamp": time.time(),
            "daemon_pid": self.pid,
            "system_memory_total_mb": 16_000.0,
            "system_memory_available_mb": 8_000.0,
            "system_memory_used_mb": 8_000.0,
            "daemon_rss_mb": peak_memory_mb(),
            **dict(zip(("load_avg_1", "load_avg_5", "load_avg_15"), load, strict=True)),
            "processes": processes,
            "gpus": [],
            "pressure_level": self.pressure_level,
            "running_jobs": len(running),
            "active_sheets": len(processes),
            "zombie_count": 0,
            "zombie_pids": [],
            "job_progress": [make_job_progress(job) for job in running],
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
        """Return the response to `daemon.config`, with a part of the nested settings."""
        return {
            "socket": {
                "path": self.socket_path,
                "permissions": 0o660,
                "backlog": self.max_connections,
            },
            "pid_file": None,
            "max_concurrent_jobs": 15,
            "max_concurrent_sheets": 25,
            "resource_limits": {
                "max_memory_mb": 8192,
                "max_processes": 50,
                "max_api_calls_per_minute": 60,
            },
            "state_backend_type": "sqlite",
            "state_db_path": self.state_db_path,
            "log_level": "info",
            "log_file": self.log_file,
            "job_timeout_seconds": 86400.0,
            "shutdown_timeout_seconds": 300.0,
            "monitor_interval_seconds": 15.0,
            "max_job_history": self.max_job_history,
            "default_thinking_method": None,
            "observer": {"enabled": True, "watch_interval_seconds": 2.0, "max_queue_size": 1000},
            "learning": {"enabled": True},
            "profiler": {"enabled": True, "interval_seconds": 5.0},
            "preflight": {"token_warning_threshold": 50000, "token_error_threshold": 150000},
            "config_file": None,
            "mcp_pool": {"servers": {}},
            "keyring": {"instruments": {}},
        }


def make_process(job_id: str, sheet: int, since_s: float) -> JsonObject:
    """Return the process of a sheet that was dispatched at a monotonic time."""
    return {
        "pid": os.getpid(),
        "ppid": os.getppid(),
        "command": "bash",
        "state": "S",
        "cpu_percent": 0.5,
        "rss_mb": 12.0,
        "vms_mb": 48.0,
        "threads": 1,
        "open_fds": 8,
        "age_seconds": time.monotonic() - since_s,
        "job_id": job_id,
        "sheet_num": sheet,
        "syscall_counts": {},
        "syscall_time_pct": {},
    }


def make_job_progress(job: SimulatedJob) -> JsonObject:
    """Return the progress of a running job."""
    return {
        "job_id": job.job_id,
        "total_sheets": job.sheets,
        "last_completed_sheet": job.checkpoint["last_completed_sheet"] if job.checkpoint else 0,
        "current_sheet": None,
        "status": job.status,
    }


def peak_memory_mb() -> float:
    """Return the peak memory of this process in MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
