"""Rules that merge a job's state from the roster, its checkpoint and earlier answers. Pure.

The roster is right about the status and light to read; a checkpoint has everything else, and may
be older. A state that was shown is never replaced by an older one of the same run.
"""

from dataclasses import replace

from marianne_stream.backends.checkpoint import to_epoch_s
from marianne_stream.models import JobState, Roster, RosterEntry, is_same_time

# After a conflict of this duration the roster is right. A job that was cancelled before a restart
# of the conductor has a checkpoint that says running for ever.
CONFLICT_TIMEOUT_S = 10.0


def keep_newer(state: JobState, shown: JobState | None) -> JobState:
    """Return a state, with what was shown of the same submission if the state is older.

    State on disk may be older than what the conductor has reported, and a conductor that refuses
    to send a checkpoint has not taken it back. The first end of a run is kept: a conductor that
    stops writes its own end over it.
    """
    if shown is None:
        return state
    is_same_run = shown.run == state.run
    is_older = is_same_run and not state.live and updated_at_s(state) < updated_at_s(shown)
    lost_checkpoint = bool(shown.sheets) and not state.sheets and is_same_submission(shown, state)
    if is_older or lost_checkpoint:
        return replace(
            shown,
            status=state.status,
            checkpoint_status=state.checkpoint_status,
            source=state.source,
            live=state.live,
        )
    if is_same_run and shown.is_terminal and state.is_terminal and shown.completed_at:
        return replace(state, completed_at=shown.completed_at)
    return state


def resolve_conflict(
    state: JobState, conflict_since: float | None, now: float
) -> tuple[JobState, float | None]:
    """Trust the roster if it reports an end that the checkpoint has contradicted for long.

    Return the state, and the time of the first read with the conflict, on the clock of `now`; None
    without a conflict.
    """
    if state.is_consistent or not state.is_terminal:
        return state, None
    since = now if conflict_since is None else conflict_since
    if now - since >= CONFLICT_TIMEOUT_S:
        state = replace(state, checkpoint_status=state.status)
    return state, since


def has_unseen_change(
    entry: RosterEntry | None, last_entry: RosterEntry | None, shown: JobState | None
) -> bool:
    """Return True if a roster entry reports something that clients do not see yet.

    `last_entry` is the job's entry when the state was last read.
    """
    if entry is None or last_entry is None or shown is None:
        return entry is not last_entry
    if entry.completed_sheets not in (None, shown.completed_sheets):
        return True
    # An edge has the first characters of an error only.
    if entry.is_terminal and not (shown.error_message or "").startswith(entry.error_message or ""):
        return True
    return entry.status != shown.status or not entry.is_same_run(last_entry)


def merge_fresh_entry(
    state: JobState, roster: Roster, last_entry: RosterEntry | None
) -> tuple[JobState, RosterEntry | None] | None:
    """Merge a state with a roster that was read after it.

    Return the state and the entry that it agrees with; None if the job was submitted again, so that
    the state must be read again. `last_entry` is the job's entry when the state was read.
    """
    entry = roster.entries.get(state.job_id)
    if entry is None or roster.source != state.source:
        return state, last_entry
    if last_entry is None or entry.submitted_at != last_entry.submitted_at:
        return None
    return replace(state, status=entry.status), entry


def carry_over_entries(roster: Roster, previous: Roster) -> Roster:
    """Return a roster whose entries keep facts of the previous one that it lacks.

    The conductor reports no counts of a job that was cancelled or has not run since the conductor
    started. The first end of a run is kept: a conductor that stops writes its own end over it
    (docs/explanation/conductor.md, point 12).
    """
    entries = {
        job_id: carry_over_fields(entry, previous.entries.get(job_id))
        for job_id, entry in roster.entries.items()
    }
    return replace(roster, entries=entries)


def carry_over_fields(entry: RosterEntry, previous: RosterEntry | None) -> RosterEntry:
    """Return an entry with the facts that a previous entry of the same run has besides."""
    if previous is None or not entry.is_same_run(previous):
        return entry
    if previous == entry:
        # Return the same object, which makes later comparisons cheap.
        return previous
    # Conductor and registry report the same run some microseconds apart: keep the first time.
    entry = replace(entry, submitted_at=previous.submitted_at, started_at=previous.started_at)
    if entry.completed_sheets is None:
        total = entry.total_sheets if previous.total_sheets is None else previous.total_sheets
        entry = replace(entry, completed_sheets=previous.completed_sheets, total_sheets=total)
    if not entry.is_same_run_and_status(previous):
        return entry
    return replace(
        entry,
        completed_at=entry.completed_at if previous.completed_at is None else previous.completed_at,
        error_message=entry.error_message or previous.error_message,
    )


def updated_at_s(state: JobState) -> float:
    """Return the time at which a state was written, in epoch seconds; 0 if unknown."""
    return to_epoch_s(state.updated_at) or 0.0


def is_same_submission(one: JobState, other: JobState) -> bool:
    """Return True if two states are of the same submission, also from different sources."""
    return is_same_time(to_epoch_s(one.submitted_at), to_epoch_s(other.submitted_at))
