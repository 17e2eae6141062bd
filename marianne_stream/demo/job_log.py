"""Log of a simulated job, in the form of a real job's, and the other files that it writes.

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
    """Writes the `marianne.log` of one job, the outputs of its sheets, and their results."""

    def __init__(self, workspace: Path, rng: random.Random) -> None:
        self._workspace = workspace
        self._rng = rng
        self._line_count = 0

    async def write(self, sheet: int, *, is_running: bool) -> None:
        """Append the next line, in a thread. A cancelled call may still append it.

        The output of the sheet gets the line as well while the sheet is running.
        """
        self._line_count += 1
        names = ("marianne.log", f"logs/sheet-{sheet:02}.stdout.log")
        await asyncio.to_thread(
            self._append, self._make_line(sheet), names if is_running else names[:1]
        )

    async def write_result(self, sheet: int) -> None:
        """Write the result of a sheet, and append it to the report, in a thread."""
        text = f"The tide of page {sheet} is *written*.\n"
        await asyncio.to_thread(self._append, text, (f"out-{sheet}.txt",))
        await asyncio.to_thread(self._append, f"## Sheet {sheet}\n\n{text}\n", ("report.md",))

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

    def _append(self, text: str, names: tuple[str, ...]) -> None:
        for name in names:
            path = self._workspace / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(text)
