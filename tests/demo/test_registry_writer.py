"""Tests of the simulated conductor's registry, also after a crash."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor

RECORDED = Path(__file__).parents[3] / "shared" / "recordings" / "daemon-state.db"


@pytest.fixture
def registry(conductor: SimulatedConductor) -> Path:
    """Return the path of the conductor's registry."""
    return Path(conductor.daemon.state_db_path)


def rows(path: Path) -> dict[str, dict[str, Any]]:
    """Read the rows of the registry by job id."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return {row["job_id"]: dict(row) for row in connection.execute("SELECT * FROM jobs")}


def wal(path: Path) -> Path:
    """Return the path of the -wal file."""
    return path.with_name(path.name + "-wal")


async def test_row_follows_job_with_wal_file(conductor: SimulatedConductor, registry: Path) -> None:
    conductor.launch("fan", sheets=2)
    conductor.complete_sheet("fan", 1)
    await conductor.flush()
    row = rows(registry)["fan"]
    assert wal(registry).exists()
    assert (row["status"], row["current_sheet"], row["total_sheets"]) == ("running", None, None)
    assert json.loads(row["checkpoint_json"]) == conductor.jobs["fan"].checkpoint
    await conductor.stop()
    assert not wal(registry).exists()
    assert rows(registry)["fan"]["status"] == "running"


async def test_row_without_checkpoint(conductor: SimulatedConductor, registry: Path) -> None:
    conductor.submit("fan")
    await conductor.flush()
    assert rows(registry)["fan"]["checkpoint_json"] is None


async def test_row_of_cancelled_job_keeps_running_checkpoint(
    conductor: SimulatedConductor, registry: Path
) -> None:
    conductor.launch("tick")
    conductor.cancel("tick")
    await conductor.flush()
    row = rows(registry)["tick"]
    assert (row["status"], json.loads(row["checkpoint_json"])["status"]) == ("cancelled", "running")


async def test_row_of_removed_job_is_deleted_unless_kept(
    conductor: SimulatedConductor, registry: Path
) -> None:
    for job_id in ("gone", "kept"):
        conductor.submit(job_id)
    await conductor.flush()
    conductor.remove("gone")
    conductor.remove("kept", keep_row=True)
    await conductor.flush()
    assert list(rows(registry)) == ["kept"]


async def test_rows_survive_a_kill_in_the_wal_file(
    conductor: SimulatedConductor, registry: Path
) -> None:
    conductor.launch("fan")
    await conductor.kill()
    assert wal(registry).stat().st_size > 0
    assert rows(registry)["fan"]["status"] == "running"


async def test_new_conductor_fails_orphaned_job_on_request(
    conductor: SimulatedConductor, registry: Path
) -> None:
    conductor.launch("fan")
    conductor.launch("tick")
    conductor.cancel("tick")
    conductor.submit("later")
    await conductor.kill()
    successor = SimulatedConductor(conductor.socket_path, registry=registry)
    await successor.start()
    roster = {job_id: job.roster_entry() for job_id, job in successor.jobs.items()}
    assert [entry["status"] for entry in roster.values()] == ["running", "cancelled", "queued"]
    assert not any("progress_completed" in entry for entry in roster.values())
    answers = [successor.answer("job.status", {"job_id": job_id}) for job_id in roster]
    statuses = [answer["status"] for answer in answers if isinstance(answer, dict)]
    assert statuses == ["failed", "cancelled", "queued"]
    await successor.flush()
    assert rows(registry)["fan"]["status"] == "failed"
    await successor.kill()


async def test_restarted_conductor_continues_its_jobs(
    conductor: SimulatedConductor, registry: Path
) -> None:
    conductor.launch("fan", sheets=1)
    await conductor.kill()
    conductor.complete_sheet("fan", 1)
    await conductor.start()
    conductor.finish("fan")
    await conductor.flush()
    assert rows(registry)["fan"]["status"] == "completed"
    assert conductor.jobs["fan"].roster_entry()["progress_completed"] == 1


async def test_non_utf8_job_id_survives_restart(
    conductor: SimulatedConductor, registry: Path
) -> None:
    job_id = b"caf\xe9".decode("utf-8", "surrogateescape")
    conductor.launch(job_id)
    await conductor.kill()
    successor = SimulatedConductor(conductor.socket_path, registry=registry)
    await successor.start()
    assert list(successor.jobs) == [job_id]
    successor.remove(job_id)
    await successor.stop()
    assert rows(registry) == {}


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded registry is not there")
async def test_table_has_recorded_columns_and_indexes(
    conductor: SimulatedConductor, registry: Path
) -> None:
    def schema(path: Path, mode: str) -> tuple[set[str], list[tuple[Any, ...]]]:
        with closing(sqlite3.connect(f"file:{path}?{mode}", uri=True)) as connection:
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            return names, connection.execute("PRAGMA table_info(jobs)").fetchall()

    assert schema(registry, "mode=ro") == schema(RECORDED, "immutable=1")
