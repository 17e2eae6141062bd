"""Schema of the history store, and the migrations that lead to it.

`docs/reference/history.md` describes the tables for those who read the file themselves.
"""

import sqlite3

from marianne_stream.errors import HistoryUnavailableError

# Each script leads from the version of its index to the next one. `PRAGMA user_version` has the
# version of a file. A script that was released is never changed.
MIGRATIONS = (
    """
    CREATE TABLE epochs (
        epoch TEXT PRIMARY KEY,
        first_number INTEGER NOT NULL,
        first_seq INTEGER NOT NULL,
        is_restored INTEGER NOT NULL,
        started_at REAL NOT NULL
    );
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY,
        job_id TEXT,
        event TEXT NOT NULL,
        data BLOB NOT NULL,
        seen_at REAL NOT NULL
    );
    CREATE INDEX events_by_job ON events (job_id, seq);
    CREATE INDEX stalled_events ON events (seen_at) WHERE event = 'sheet.stalled';
    CREATE TABLE dropped_events (
        job_id TEXT PRIMARY KEY,
        last_seq INTEGER NOT NULL
    );
    CREATE TABLE runs (
        job_id TEXT NOT NULL,
        run TEXT NOT NULL,
        submitted_at REAL NOT NULL,
        status TEXT NOT NULL,
        started_at REAL,
        completed_at REAL,
        total_sheets INTEGER NOT NULL,
        completed_sheets INTEGER NOT NULL,
        error_message TEXT,
        waited_s REAL NOT NULL,
        estimated_cost REAL,
        input_tokens INTEGER,
        output_tokens INTEGER,
        changed_at REAL NOT NULL,
        PRIMARY KEY (job_id, run)
    ) WITHOUT ROWID;
    CREATE INDEX runs_by_change ON runs (changed_at);
    CREATE TABLE sheets (
        job_id TEXT NOT NULL,
        run TEXT NOT NULL,
        number INTEGER NOT NULL,
        status TEXT NOT NULL,
        attempt INTEGER,
        started_at REAL,
        completed_at REAL,
        observed INTEGER NOT NULL,
        estimated INTEGER NOT NULL,
        work_s REAL,
        error_code TEXT,
        error_message TEXT,
        instrument_name TEXT,
        movement TEXT,
        PRIMARY KEY (job_id, run, number)
    ) WITHOUT ROWID;
    CREATE TABLE transitions (
        job_id TEXT NOT NULL,
        run TEXT NOT NULL,
        number INTEGER NOT NULL,
        seen_at REAL NOT NULL,
        status TEXT NOT NULL,
        attempt INTEGER,
        backfilled INTEGER NOT NULL
    );
    CREATE INDEX transitions_by_run ON transitions (job_id, run, number);
    """,
    """
    CREATE TABLE notifications (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL,
        kind TEXT NOT NULL,
        job_id TEXT,
        rule TEXT NOT NULL,
        target TEXT NOT NULL,
        title TEXT NOT NULL,
        body TEXT NOT NULL,
        created_at REAL NOT NULL,
        attempts INTEGER NOT NULL,
        state TEXT NOT NULL,
        UNIQUE (key, rule, target)
    );
    CREATE INDEX notifications_by_rule ON notifications (rule, created_at);
    CREATE INDEX waiting_notifications ON notifications (target, attempts, id)
        WHERE state = 'waiting';
    CREATE TABLE held_notifications (
        rule TEXT NOT NULL,
        kind TEXT NOT NULL,
        count INTEGER NOT NULL,
        since REAL NOT NULL,
        PRIMARY KEY (rule, kind)
    ) WITHOUT ROWID;
    """,
)

SCHEMA_VERSION = len(MIGRATIONS)


def migrate(database: sqlite3.Connection) -> None:
    """Bring a database to the newest schema, in one transaction for each version.

    Raises:
        HistoryUnavailableError: a newer release wrote it.
        sqlite3.Error: it cannot be read or written.
    """
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise HistoryUnavailableError(
            f"the history has schema version {version}, this release knows {SCHEMA_VERSION}"
        )
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        database.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")


def check_version(database: sqlite3.Connection) -> None:
    """Check that a database that is only read has the schema of this release.

    Raises:
        HistoryUnavailableError: another release wrote it, or it is empty.
        sqlite3.Error: it cannot be read.
    """
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version != SCHEMA_VERSION:
        raise HistoryUnavailableError(
            f"the history has schema version {version}, this release reads {SCHEMA_VERSION}"
        )
