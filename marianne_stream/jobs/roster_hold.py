"""A viewer's hold on the roster. It must not know how rosters are asked for."""

from marianne_stream.fanout.mailboxes import LatestMailbox
from marianne_stream.fanout.topic import Topic
from marianne_stream.jobs.lookouts import Lookouts
from marianne_stream.jobs.roster import RosterTimer
from marianne_stream.jobs.views import RosterView


class WatchingRoster:
    """A viewer's hold on the roster, until it leaves.

    Args:
        timer: who asks for rosters.
        topic: where they are published.
        interval_s: how old one may get, in seconds.
        lookouts: who watches the jobs for it; None where it does not want that.

    Attributes:
        mailbox: where rosters arrive.
    """

    __slots__ = ("_interval_s", "_lookouts", "_timer", "_topic", "mailbox")

    def __init__(
        self,
        timer: RosterTimer,
        topic: Topic[RosterView],
        interval_s: float,
        lookouts: Lookouts | None,
    ) -> None:
        self._timer = timer
        self._topic = topic
        self._interval_s = interval_s
        self._lookouts = lookouts
        self.mailbox: LatestMailbox[RosterView] = LatestMailbox()
        timer.add_interest(interval_s)
        topic.subscribe(self.mailbox)
        if lookouts is not None:
            lookouts.add_interest(interval_s)

    def leave(self) -> None:
        """Lets go of the roster."""
        self.mailbox.leave()
        self._topic.unsubscribe(self.mailbox)
        self._timer.drop_interest(self._interval_s)
        if self._lookouts is not None:
            self._lookouts.drop_interest(self._interval_s)
