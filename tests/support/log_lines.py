"""Log of the test job `lantern`: writing its lines, and reading them from a stream."""

from pathlib import Path

from tests.support.viewers import Viewer
from tests.support.waiting import wait_until

JOB = "lantern"
LOGS = f"/api/jobs/{JOB}/logs"


def append_lines(path: Path, *lines: str) -> None:
    """Append lines to a log file."""
    with path.open("a", encoding="utf-8", newline="") as file:
        file.writelines(f"{line}\n" for line in lines)


def numbered_lines(viewer: Viewer) -> list[tuple[int, str]]:
    """Return the lines that a viewer has got, with their numbers."""
    return [(data["line_number"], data["line"]) for data in viewer.event_data("log")]


async def expect_lines(viewer: Viewer, *lines: str) -> None:
    """Wait until a viewer has got as many lines, and check that they are these."""
    await wait_until(lambda: viewer.event_counts["log"] >= len(lines))
    assert [line for _, line in numbered_lines(viewer)] == list(lines)
