"""Notifications of a server's jobs, as they wait in its history."""

from pathlib import Path

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.history_servers import find_history, kill, run_recording_server, stop
from tests.support.outboxes import TARGET, read_rows
from tests.support.waiting import wait_until


def write_settings(folder: Path) -> Path:
    """Write a settings file with a rule for all that happens to jobs."""
    path = folder / "settings.toml"
    path.write_text(
        "[[notifications]]\n"
        'on = ["failed", "completed", "paused", "waiting_for_person", "sheet_failed"]\n'
        f'targets = ["{TARGET}"]\n'
    )
    path.chmod(0o600)
    return path


def read_keys(folder: Path) -> list[str]:
    """Return the keys of all stored messages without their runs."""
    found = []
    for (key,) in read_rows(find_history(folder), "key"):
        job, _, rest = str(key).partition("@")
        found.append(f"{job}:{rest.partition('Z:')[2]}")
    return sorted(found)


async def wait_for_key(folder: Path, key: str) -> None:
    """Wait until a message is stored."""
    await wait_until(lambda: key in read_keys(folder))


async def wait_for_change(folder: Path, *change: object) -> None:
    """Wait until a transition is stored: job, number of the sheet, and status."""
    await wait_until(
        lambda: change in read_rows(find_history(folder), "job_id, number, status", "transitions"),
    )


async def test_changes_of_running_jobs_are_stored_and_old_jobs_are_left_out(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    conductor.launch("old", sheets=1)
    conductor.fail_sheet("old", 1)
    conductor.finish("old", "failed")
    conductor.launch("job", sheets=3)
    conductor.fail_sheet("job", 1)
    settings = write_settings(tmp_path)
    async with run_recording_server(tmp_path, "--config", settings) as server:
        await wait_for_change(tmp_path, "job", 1, "failed")
        conductor.dispatch("job", 2)
        conductor.fail_sheet("job", 2)
        await wait_for_key(tmp_path, "job:sheet_failed:2:1")
        conductor.hold_sheet("job", 3)
        await wait_for_key(tmp_path, "job:waiting_for_person:3:1")
        conductor.pause("job")
        await wait_for_key(tmp_path, "job:paused")
        conductor.resume("job")
        await wait_for_change(tmp_path, "job", 3, "pending")
        conductor.finish("job", "completed")
        await wait_for_key(tmp_path, "job:completed")
        await stop(server)
    assert read_keys(tmp_path) == [
        *("job:completed", "job:paused", "job:sheet_failed:2:1", "job:waiting_for_person:3:1"),
    ]


async def test_job_that_ends_while_the_server_is_killed_is_told_at_the_next_start(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    settings = write_settings(tmp_path)
    conductor.launch("job", sheets=1)
    async with run_recording_server(tmp_path, "--config", settings) as server:
        await wait_for_change(tmp_path, "job", 0, "running")
        await kill(server)
    conductor.fail_sheet("job", 1)
    conductor.finish("job", "failed")
    for _ in range(2):
        async with run_recording_server(tmp_path, "--config", settings) as server:
            await wait_for_key(tmp_path, "job:failed")
            await stop(server)
    assert read_keys(tmp_path) == ["job:failed", "job:sheet_failed:1:1"]


async def test_server_killed_at_any_time_stores_a_change_with_its_message_or_neither(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    settings = write_settings(tmp_path)
    conductor.launch("job", sheets=30)
    async with run_recording_server(tmp_path, "--config", settings) as server:
        await wait_for_change(tmp_path, "job", 0, "running")
        await kill(server)
    for first in range(1, 30, 6):
        async with run_recording_server(tmp_path, "--config", settings) as server:
            for number in range(first, first + 6):
                conductor.fail_sheet("job", number)
                await wait_for_key(tmp_path, f"job:sheet_failed:{first}:1")
            await kill(server)
        columns = "count(*), sum(status = 'failed')"
        ((_, failed),) = read_rows(find_history(tmp_path), columns, "transitions")
        assert len(read_keys(tmp_path)) == failed
