"""Live display on a terminal: redrawn as it changes, until it is closed."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.fitted_table import wrap_lines
from marianne_stream.client.messages import describe_source, write_stderr
from marianne_stream.client.output import Output
from marianne_stream.client.renderers import JobRenderer
from marianne_stream.client.sse_client import FINAL_EVENTS, StreamEvent

# Durations are redrawn every second, and changes at most ten times a second.
REFRESH_INTERVAL_S = 1.0
MIN_REDRAW_INTERVAL_S = 0.1

LOST_CONNECTION = "the connection to the server is lost; what is shown may be out of date"


class LiveDisplay(JobRenderer):
    """Display that draws at the bottom of the terminal, below the messages of the reporter.

    While the state of the jobs is not live, the first line says so, and durations stand still.

    Attributes:
        now_s: time up to which the state of the jobs is known; None if it was never live.
        is_closed: whether the drawing is the last one, which stays on the screen.
        is_interrupted: whether the command was stopped before its end, as by Ctrl-C.
    """

    def __init__(self, output: Output, client: ApiClient) -> None:
        self.is_closed = self.is_interrupted = False
        self.now_s: float | None = None
        self._output = output
        self._console = output.console
        self._client = client
        self._reporter = client.reporter
        # By job, or None for the roster: jobs of an edge may come from several conductors.
        self._stale_reasons: dict[str | None, str] = {}
        self._changed = asyncio.Event()

    def on_event(self, event: StreamEvent) -> None:
        """Take note of sources that are not live, as long as their streams are open."""
        job_id = event.data.get("job_id")
        if event.name == "source":
            self._stale_reasons[job_id] = describe_source(event.data)
            self.redraw_soon()
        elif event.name in FINAL_EVENTS and len(self._stale_reasons) > 1:
            self._stale_reasons.pop(job_id, None)

    @property
    def columns(self) -> int:
        """Return the width of the terminal without the room in which it echoes Ctrl-C.

        An echo that is wrapped moves the display down, and leaves its first line on the screen.
        """
        return max(1, self._console.width - len("^C"))

    def draw(self) -> RenderableType:
        """Return what is to be drawn, not higher than the terminal unless it is closed."""
        reason = next(filter(None, self._stale_reasons.values()), "")
        if self._client.connection_status.is_lost:
            reason = LOST_CONNECTION
        note: list[Text] = []
        if reason:
            note = wrap_lines(f"not live: {reason}", "fault", self._console, self.columns)
        elif self._stale_reasons:
            self.now_s = self._client.clock.now_s()
        return Group(*note, *self.draw_state(max(1, self._console.height - 1 - len(note))))

    def draw_state(self, room: int) -> Sequence[RenderableType]:
        """Return the state of the jobs, in as many rows unless the display is closed."""
        raise NotImplementedError

    def redraw_soon(self) -> None:
        """Draw again, because something has changed."""
        self._changed.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Draw inside the context; the last table stays on the screen."""
        if sys.stderr.isatty():
            # On the same terminal, other output would break the table.
            self._reporter.write = self._print_above
        loop = asyncio.get_running_loop()
        self._live = self._make_live()
        self._live.start()
        loop.add_signal_handler(signal.SIGTSTP, self._suspend)
        redraw_task = asyncio.create_task(self._redraw_loop())
        try:
            yield
        except asyncio.CancelledError:
            self.is_interrupted = True
            raise
        finally:
            redraw_task.cancel()
            await asyncio.wait([redraw_task])
            loop.remove_signal_handler(signal.SIGTSTP)
            self.is_closed = True
            self._reporter.write = write_stderr
            self._live.stop()
            if not redraw_task.cancelled():
                # The loop never ends by itself: raise its error.
                redraw_task.result()

    def _suspend(self) -> None:
        """Restore the cursor and stop the process at Ctrl-Z; draw again after SIGCONT."""
        loop = asyncio.get_running_loop()
        self._live.stop()
        loop.remove_signal_handler(signal.SIGTSTP)
        # The process stops here until SIGCONT.
        signal.raise_signal(signal.SIGTSTP)
        loop.add_signal_handler(signal.SIGTSTP, self._suspend)
        # A new display: the shell has written below the old one.
        self._live = self._make_live()
        self._live.start(refresh=True)

    def _make_live(self) -> Live:
        return Live(
            get_renderable=self.draw,
            console=self._console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    async def _redraw_loop(self) -> None:
        """Redraw after changes, and every second for the durations."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_INTERVAL_S):
                    await self._changed.wait()
            self._changed.clear()
            self._live.refresh()
            await asyncio.sleep(MIN_REDRAW_INTERVAL_S)

    def _print_above(self, line: str) -> None:
        self._console.print(Text(line, style="quiet"), soft_wrap=True)
