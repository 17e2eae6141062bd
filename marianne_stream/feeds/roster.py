"""The roster as changes, for one viewer.

It must not know how rosters are read, or how frames are sent.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from marianne_stream.fanout.mailboxes import LatestMailbox
from marianne_stream.jobs.views import RosterView
from marianne_stream.jobs.watches import Watches
from marianne_stream.wire.cursors import RosterCursor


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

    async def frames(self) -> AsyncIterator[bytes]:
        """From the first roster on, without an end of its own."""
        view = self._first
        yield view.resumed() if self._resumes else view.since(None)
        while await self._mailbox.wait():
            seen, view = view, self._mailbox.take()
            if frames := view.since(seen):
                yield frames

    def close(self) -> None:
        """Lets `frames` end."""
        self._mailbox.close()


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
