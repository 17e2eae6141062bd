"""Log of a simulated job, in the form of a real job's.

Most lines are `time [level] text`, some are JSON objects, and some are not ASCII.
"""

import asyncio
import json
import random
import time
from pathlib import Path

from marianne_stream.demo.checkpoint_fields import format_time

LEVEL_CHOICES = ("debug", "info", "info", "info", "info", "warning", "error")
PHRASES = (
    "reading the score",
    "tuning to 440 Hz, ±0.3",
    "the tide is at 3.2 m and rising ✓",
    "écrit une page, relu deux fois",
    "苔の庭に水をまく",
    "asked the instrument, waiting",
    "answer received, 1,204 tokens",
    "folding the page along the dotted line",
    "Ωmega test passed",
    "nothing to retry",
    "saved draft №7 — “good enough”",
)
JSON_LINE_INTERVAL = 9


class JobLogWriter:
    """Appends lines to the `marianne.log` of one job, and to the output of the sheet."""

    def __init__(self, workspace: Path, rng: random.Random) -> None:
        self.path = workspace / "marianne.log"
        self._rng = rng
        self._line_count = 0

    async def write(self, sheet: int) -> None:
        """Append the next line, in a thread. A cancelled call may still append it."""
        self._line_count += 1
        await asyncio.to_thread(self._append, sheet, self._make_line(sheet))

    def _make_line(self, sheet: int) -> str:
        now_ns = time.time_ns()
        now_s = now_ns / 10**9
        level, phrase = self._rng.choice(LEVEL_CHOICES), self._rng.choice(PHRASES)
        if self._rng.randrange(JSON_LINE_INTERVAL) == 0:
            fields = {
                "event": phrase,
                "sheet": sheet,
                "level": level,
                "timestamp": format_time(now_s),
            }
            return json.dumps(fields, ensure_ascii=False) + "\n"
        moment = f"{format_time(now_s)[:19]}.{now_ns % 10**9:09d}"
        return f"{moment} [{level}] sheet {sheet} line {self._line_count} {phrase}\n"

    def _append(self, sheet: int, line: str) -> None:
        output = self.path.parent / "logs" / f"sheet-{sheet:02}.stdout.log"
        output.parent.mkdir(parents=True, exist_ok=True)
        for path in (self.path, output):
            with path.open("a", encoding="utf-8") as file:
                file.write(line)
