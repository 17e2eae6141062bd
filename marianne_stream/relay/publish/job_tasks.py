"""Tasks of selected jobs."""

import asyncio
from collections.abc import Callable

from marianne_stream.common.task_set import KeyedTasks, TaskBody, cancel_and_wait


class JobTasks:
    """Runs a task for each selected job, until the job is no longer selected."""

    def __init__(self, make_body: Callable[[str], TaskBody]) -> None:
        self._make_body = make_body
        self._selected: set[str] = set()
        self._has_changed = asyncio.Event()
        self._error: BaseException | None = None

    def select(self, job_ids: set[str]) -> None:
        """Replace the selection of jobs."""
        self._selected = job_ids
        self._has_changed.set()

    async def run(self) -> None:
        """Run the tasks until cancelled, or until one fails, and raise its exception."""
        tasks: KeyedTasks[str] = KeyedTasks(self._on_failure)
        self._error = None
        try:
            while self._error is None:
                self._has_changed.clear()
                gone = [tasks.cancel(job_id) for job_id in tasks.keys() - self._selected]
                await cancel_and_wait(task for task in gone if task is not None)
                for job_id in self._selected - tasks.keys():
                    tasks.start(job_id, self._make_body(job_id), name=f"relay of {job_id!r}")
                await self._has_changed.wait()
            raise self._error
        finally:
            await tasks.close()

    def _on_failure(self, _job_id: str, error: BaseException) -> None:
        self._error = self._error or error
        self._has_changed.set()
