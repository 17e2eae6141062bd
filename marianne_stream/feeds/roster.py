"""The roster as changes, for one viewer.

It must not know how rosters are read, or how frames are sent.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from marianne_stream.fanout.mailboxes import LatestMailbox, Outlet
from marianne_stream.jobs.views import RosterView
from marianne_stream.jobs.watches import Watches
from marianne_stream.wire.cursors import RosterCursor
from marianne_stream.wire.sse import Frames


class RosterFeed:
    """The rosters that a viewer has not seen, as frames; the newest replaces what was not taken.

    Args:
        first: the roster when the viewer came.
        mailbox: where later ones arrive.
        cursor: what the viewer has seen, as it says; anything at all.
    """

    heartbeats = True
    nothing_new = False

    def __init__(self, first: RosterView, mailbox: LatestMailbox[RosterView], cursor: str) -> None:
        self._first = first
        self._mailbox = mailbox
        seen = RosterCursor.parse(cursor)
        self._resumes = seen is not None and seen.state == first.cursor

    @property
    def held_bytes(self) -> int:
        """Nothing: the newest roster is everybody's."""
        return 0

    def attach(self, outlet: Outlet) -> None:
        """Says where new rosters may go at once."""
        self._mailbox.outlet = outlet
        self._mailbox.change = change

    async def frames(self) -> AsyncIterator[bytes]:
        """From the first roster on, without an end of its own."""
        first, mailbox = self._first, self._mailbox
        mailbox.seen = first
        yield first.resumed() if self._resumes else first.since(None).data
        while await mailbox.wait():
            seen, view = mailbox.seen, mailbox.take()
            if frames := view.since(seen).data:
                yield frames

    def close(self) -> None:
        """Lets `frames` end."""
        self._mailbox.close()


def change(seen: RosterView | None, view: RosterView) -> Frames:
    """The frames that lead from one roster to another."""
    return view.since(seen)


@asynccontextmanager
async def roster_feed(
    watches: Watches, *, poll_interval_s: float, cursor: str
) -> AsyncIterator[RosterFeed]:
    """A feed of the roster for as long as the context lasts.

    Raises:
        StateUnavailableError: nobody could be asked.
    """
    async with watches.watching_roster(poll_interval_s) as (first, mailbox):
        yield RosterFeed(first, mailbox, cursor)
