"""Newest lines of a job's log, for `watch`."""

from collections import deque
from collections.abc import Callable
from contextlib import aclosing

from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import LogLineBody
from marianne_stream.client.log_query import LogQuery, read_log
from marianne_stream.client.sse_client import StreamEvent, convert_data
from marianne_stream.errors import MarianneStreamError

# More than a display shows.
MAX_LINES = 50

GAP_LINE = "── a part of the log is missing ──"


class NewestLines:
    """Newest lines of a log, the unfinished one last; `on_change` is called after each change.

    Attributes:
        note: reason why there are no lines, or no newer ones; "" if there is none.
        is_conductor_log: whether they are the job's lines of the conductor's log.
    """

    def __init__(self, client: ApiClient, job_id: str, on_change: Callable[[], None]) -> None:
        self.note = ""
        self.is_conductor_log = False
        self._client = client
        self._query = LogQuery(job_id, MAX_LINES, is_following=True)
        self._on_change = on_change
        self._lines: deque[LogLineBody] = deque(maxlen=MAX_LINES)
        self._partial: LogLineBody | None = None

    def newest(self, count: int) -> list[LogLineBody]:
        """Return the newest lines, at most `count`, oldest first."""
        lines = [*self._lines, *([] if self._partial is None else [self._partial])]
        return lines[-count:] if count > 0 else []

    async def run(self) -> None:
        """Follow the log until it ends. Cancelling is safe."""
        try:
            async with aclosing(read_log(self._client.quietly(), self._query)) as batches:
                async for batch in batches:
                    for event in batch:
                        self._on_event(event)
                    self._on_change()
        except MarianneStreamError as error:
            self.note = str(error)
            self._on_change()

    def _on_event(self, event: StreamEvent) -> None:
        if event.name == "log":
            line = convert_data(event, LogLineBody)
            self._lines.append(line)
            self._partial, self.note = None, ""
            self.is_conductor_log = line.source == "conductor"
        elif event.name == "log_partial":
            line = convert_data(event, LogLineBody)
            self._partial = line if line.line else None
        elif event.name == "log_gap":
            self._lines.append(LogLineBody(GAP_LINE))
        elif event.name == "log_missing":
            self.note = str(event.data.get("detail"))
