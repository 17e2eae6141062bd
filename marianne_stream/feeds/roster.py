"""The roster as changes, for one viewer.

It must not know how rosters are read, or how frames are sent.
"""

from collections.abc import AsyncIterator

from marianne_stream.fanout.mailboxes import Outlet
from marianne_stream.jobs.views import RosterView
from marianne_stream.jobs.watches import Watches, WatchingRoster
from marianne_stream.wire.cursors import RosterCursor
from marianne_stream.wire.sse import Frames


class RosterFeed:
    """The rosters that a viewer has not seen, as frames; the newest replaces what was not taken.

    Args:
        first: the roster when the viewer came.
        watching: its hold on the roster.
        cursor: what the viewer has seen, as it says; anything at all.
    """

    __slots__ = ("_resumes", "_watching")

    heartbeats = True
    nothing_new = False

    def __init__(self, first: RosterView, watching: WatchingRoster, cursor: str) -> None:
        self._watching = watching
        watching.mailbox.seen = first
        seen = RosterCursor.parse(cursor)
        self._resumes = seen is not None and seen.state == first.cursor

    @property
    def held_bytes(self) -> int:
        """Nothing: the newest roster is everybody's."""
        return 0

    def attach(self, outlet: Outlet) -> None:
        """Says where new rosters may go at once."""
        self._watching.mailbox.outlet = outlet
        self._watching.mailbox.change = change

    async def frames(self) -> AsyncIterator[bytes]:
        """From the first roster on, without an end of its own."""
        mailbox = self._watching.mailbox
        first = mailbox.seen
        if first is not None:
            yield first.resumed() if self._resumes else first.since(None).data
            del first
        while await mailbox.wait():
            seen, view = mailbox.seen, mailbox.take()
            if frames := view.since(seen).data:
                yield frames
            del seen, view

    def close(self) -> None:
        """Lets `frames` end."""
        self._watching.mailbox.close()

    def leave(self) -> None:
        """Lets go of the roster."""
        self._watching.leave()


def change(seen: RosterView | None, view: RosterView) -> Frames:
    """The frames that lead from one roster to another."""
    return view.since(seen)


async def roster_feed(watches: Watches, *, poll_interval_s: float, cursor: str) -> RosterFeed:
    """A feed of the roster, which must be left.

    Raises:
        StateUnavailableError: nobody could be asked.
    """
    first, watching = await watches.watch_roster(poll_interval_s)
    return RosterFeed(first, watching, cursor)
