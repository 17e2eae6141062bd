"""Metrics of jobs and sheets, of the conductor's load, and of the recorder."""

import time
from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client import Histogram
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from marianne_stream.conductor_models import ConductorInfo, ConductorLimits
from marianne_stream.history.history import History
from marianne_stream.jobs.hub import JobHub
from marianne_stream.wire.metric_families import (
    METRIC_PREFIX,
    make_counter,
    make_gauge,
    make_labelled_gauge,
)

JOB_STATUSES = (
    *("queued", "pending", "running", "paused", "paused_at_chain"),
    *("completed", "failed", "cancelled"),
)
# Label of any other status: a conductor must not make up labels.
OTHER = "other"

SHEET_BUCKETS_S = (1, 5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)


class JobCollector(Collector):
    """Metrics of jobs and sheets.

    Args:
        job_hub: the hub, whose counters pass the durations of sheets on from now on.
    """

    def __init__(self, job_hub: JobHub) -> None:
        self._job_hub = job_hub
        self._durations = Histogram(
            f"{METRIC_PREFIX}_sheet_duration_seconds",
            "Time from the first start to the end of sheets that were seen to complete.",
            buckets=SHEET_BUCKETS_S,
            registry=None,
        )
        job_hub.roster.progress.counters.on_duration = self._durations.observe

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics, as they are now."""
        roster, counters = self._job_hub.roster, self._job_hub.roster.progress.counters
        counts = Counter(
            status if status in JOB_STATUSES else OTHER for status in roster.job_statuses()
        )
        values = {status: float(counts[status]) for status in (*JOB_STATUSES, OTHER)}
        yield make_labelled_gauge("jobs", "Jobs of the last roster.", "status", values)
        yield make_gauge(
            "jobs_stalled", "Watched jobs with a stalled sheet.", self._job_hub.stalled_job_count
        )
        yield make_counter(
            "jobs_failed", "Jobs that this server has seen fail.", counters.failed_jobs
        )
        yield make_counter(
            "sheets_completed",
            "Sheets that this server has seen complete.",
            counters.completed_sheets,
        )
        yield from self._durations.collect()


PRESSURE_LEVELS = ("none", "low", "medium", "high", "critical")

NO_LIMITS = ConductorLimits()


def rate_limit_ends(info: ConductorInfo) -> list[float] | None:
    """Return the ends of the rate limits that are in force; None if they are unknown."""
    if info.rate_limits is None:
        return None
    now = time.time()
    return [limit.until for limit in info.rate_limits if limit.until > now]


def count_rate_limits(info: ConductorInfo) -> int | None:
    """Return the number of rate limits in force; None if it is unknown."""
    ends = rate_limit_ends(info)
    return len(ends) if ends is not None else None


def find_last_rate_limit_end(info: ConductorInfo) -> float | None:
    """Return the end of the rate limit that lasts longest; None if there is none."""
    return max(rate_limit_ends(info) or (), default=None)


def find_pressure(info: ConductorInfo) -> int | None:
    """Return the pressure as a number from 0 for none to 4 for critical; None if it is unknown."""
    level = info.pressure_level
    return PRESSURE_LEVELS.index(level) if level in PRESSURE_LEVELS else None


def to_bytes(size_mb: float | None) -> float | None:
    """Return a size in MiB as bytes."""
    return size_mb * 1024 * 1024 if size_mb is not None else None


# Name, help text, and the function that returns the value, or None if it is unknown.
CONDUCTOR_GAUGES: tuple[tuple[str, str, Callable[[ConductorInfo], float | None]], ...] = (
    ("running_jobs", "Running jobs.", lambda info: info.running_jobs),
    ("accepting_work", "1 while it accepts new jobs.", lambda info: info.accepting_work),
    ("pressure_level", "Pressure on the host: 0 is none, 4 is critical.", find_pressure),
    ("rate_limits", "Rate limits of instruments in force.", count_rate_limits),
    (
        "rate_limit_end_time_seconds",
        "End of the rate limit that lasts longest, in epoch seconds.",
        find_last_rate_limit_end,
    ),
    ("memory_bytes", "Memory of the conductor.", lambda info: to_bytes(info.memory_mb)),
    (
        "host_memory_total_bytes",
        "Memory of the host.",
        lambda info: to_bytes(info.host_memory_total_mb),
    ),
    (
        "host_memory_available_bytes",
        "Available memory of the host.",
        lambda info: to_bytes(info.host_memory_available_mb),
    ),
    (
        "max_connections",
        "Limit of connections that are served at once.",
        lambda info: (info.limits or NO_LIMITS).connections,
    ),
    (
        "max_concurrent_jobs",
        "Limit of jobs that run at once.",
        lambda info: (info.limits or NO_LIMITS).max_concurrent_jobs,
    ),
    (
        "max_concurrent_sheets",
        "Limit of sheets that run at once.",
        lambda info: (info.limits or NO_LIMITS).max_concurrent_sheets,
    ),
)


class ConductorCollector(Collector):
    """Metrics of the conductors' load and limits, without those that are unknown."""

    def __init__(self, job_hub: JobHub) -> None:
        self._job_hub = job_hub

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics, as they were read last."""
        infos = self._job_hub.roster.conductors.get_recent()
        for name, help_text, read in CONDUCTOR_GAUGES:
            values = {prefix.removesuffix(":"): read(info) for prefix, info in infos.items()}
            known = {source: value for source, value in values.items() if value is not None}
            yield make_labelled_gauge(f"conductor_{name}", help_text, "source", known)


class HistoryCollector(Collector):
    """Metrics of the recorder; zeros without one."""

    def __init__(self, history: History | None) -> None:
        self._history = history

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics, as they are now."""
        recorder = self._history.recorder if self._history is not None else None
        store = self._history.store if self._history is not None else None
        yield make_gauge(
            "history_recording",
            "1 while this server records.",
            int(recorder is not None and recorder.is_recording),
        )
        yield make_gauge(
            "history_pending_records",
            "Records that wait to be written.",
            recorder.pending_count if recorder is not None else 0,
        )
        yield make_gauge(
            "history_size_bytes",
            "Size of the records at the last check.",
            store.size_bytes if store is not None else 0,
        )
        yield make_counter(
            "history_errors",
            "Failures that ended recording.",
            recorder.errors if recorder is not None else 0,
        )
        yield make_counter(
            "history_written_records",
            "Records that were written.",
            recorder.written_records if recorder is not None else 0,
        )
