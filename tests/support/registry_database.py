"""Registry database as a conductor writes it."""

import sqlite3
from pathlib import Path
from typing import Any

RegistryConnection = sqlite3.Connection

SCHEMA = """
CREATE TABLE jobs (
    job_id TEXT PRIMARY KEY, workspace TEXT, status TEXT, submitted_at REAL, started_at REAL,
    completed_at REAL, error_message TEXT, total_sheets INT, snapshot_path TEXT, checkpoint_json,
    hook_results_json)
"""


def open_registry(path: Path, schema: str = SCHEMA) -> RegistryConnection:
    """Open a connection that writes a registry in WAL mode, as the conductor does."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(schema)
    return connection


def put_row(connection: RegistryConnection, job_id: str | None, **columns: Any) -> None:
    """Write a row with default status and submission time."""
    row = {"job_id": job_id, "status": "running", "submitted_at": 1000.0, **columns}
    marks = ", ".join("?" * len(row))
    connection.execute(
        f"INSERT OR REPLACE INTO jobs ({', '.join(row)}) VALUES ({marks})", tuple(row.values())
    )
