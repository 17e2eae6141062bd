"""A registry as a conductor keeps it: an SQLite file, written beside those who read it."""

import sqlite3
from pathlib import Path
from typing import Any

RegistryConnection = sqlite3.Connection

SCHEMA = """
CREATE TABLE jobs (
    job_id TEXT PRIMARY KEY, workspace TEXT, status TEXT, submitted_at REAL, started_at REAL,
    completed_at REAL, error_message TEXT, total_sheets INT, snapshot_path TEXT, checkpoint_json)
"""


def open_registry(path: Path, schema: str = SCHEMA) -> RegistryConnection:
    """A connection that writes a registry as the conductor does, and stays open."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(schema)
    return connection


def put_row(connection: RegistryConnection, job_id: str | None, **columns: Any) -> None:
    """Write a row, with a status and a submission unless they are given."""
    row = {"job_id": job_id, "status": "running", "submitted_at": 1000.0, **columns}
    marks = ", ".join("?" * len(row))
    connection.execute(
        f"INSERT OR REPLACE INTO jobs ({', '.join(row)}) VALUES ({marks})", tuple(row.values())
    )
