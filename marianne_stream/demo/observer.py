"""Events of the conductor's observer about a running job, in bursts as recorded."""

import random
from collections.abc import Iterator

from marianne_stream.demo.checkpoint_fields import JsonObject

FIRST_PID = 7400


class JobObserver:
    """Generates the events of one run: processes that start and end, and files that they write.

    Args:
        rng: random generator.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._next_pid = FIRST_PID
        self._running_pids: list[int] = []
        self._output_count = 0

    def make_events(self, completed_sheets: int) -> Iterator[tuple[str, JsonObject]]:
        """Yield one burst of events: names with their data.

        Args:
            completed_sheets: number of completed sheets; each has written one output file.
        """
        while self._output_count < completed_sheets:
            self._output_count += 1
            yield "observer.file_created", {"path": f"out-{self._output_count}.txt"}
        yield "observer.file_modified", {"path": "marianne.log"}
        if self._running_pids:
            yield from self._exit_events()
        else:
            yield from self._spawn_events()

    def _spawn_events(self) -> Iterator[tuple[str, JsonObject]]:
        for name in ("bash", "sleep"):
            self._next_pid += self._rng.randint(1, 40)
            self._running_pids.append(self._next_pid)
            yield "observer.process_spawned", {"pid": self._next_pid, "name": name}

    def _exit_events(self) -> Iterator[tuple[str, JsonObject]]:
        while self._running_pids:
            yield "observer.process_exited", {"pid": self._running_pids.pop(0), "role": "child"}
