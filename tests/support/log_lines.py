"""Log of the test job `lantern`: its lines in a stream."""

from tests.support.viewers import Viewer
from tests.support.waiting import wait_until

JOB = "lantern"
LOGS = f"/api/jobs/{JOB}/logs"


def numbered_lines(viewer: Viewer) -> list[tuple[int, str]]:
    """Return the lines that a viewer has got, with their numbers."""
    return [(data["line_number"], data["line"]) for data in viewer.event_data("log")]


async def expect_lines(viewer: Viewer, *lines: str) -> None:
    """Wait until a viewer has got as many lines, and check that they are these."""
    await wait_until(lambda: viewer.event_counts["log"] >= len(lines))
    assert [line for _, line in numbered_lines(viewer)] == list(lines)
