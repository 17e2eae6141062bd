"""Metrics of jobs and sheets, and of the recorder."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client import Histogram
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

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
