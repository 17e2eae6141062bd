"""What the conductor's observer notices of a running job, in bursts.

Names and data of events, as recorded. It must not know when a burst is due.
"""

import random
from collections.abc import Iterator

from marianne_stream.demo.checkpoint import Fields

FIRST_PID = 7400


class Observer:
    """Watches one run of a job: processes that come and go, and the files that they write.

    Args:
        chance: where the choice of what happens comes from.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._next_pid = FIRST_PID
        self._alive: list[int] = []
        self._seen_outputs = 0

    def burst(self, completed_sheets: int) -> Iterator[tuple[str, Fields]]:
        """Yield what is noticed at one look: event names with their data.

        Args:
            completed_sheets: each has left one output file.
        """
        while self._seen_outputs < completed_sheets:
            self._seen_outputs += 1
            yield "observer.file_created", {"path": f"out-{self._seen_outputs}.txt"}
        yield "observer.file_modified", {"path": "marianne.log"}
        if self._alive:
            yield from self._exits()
        else:
            yield from self._spawns()

    def _spawns(self) -> Iterator[tuple[str, Fields]]:
        for name in ("bash", "sleep"):
            self._next_pid += self._chance.randint(1, 40)
            self._alive.append(self._next_pid)
            yield "observer.process_spawned", {"pid": self._next_pid, "name": name}

    def _exits(self) -> Iterator[tuple[str, Fields]]:
        while self._alive:
            yield "observer.process_exited", {"pid": self._alive.pop(0), "role": "child"}
