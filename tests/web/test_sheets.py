"""One sheet in full, of the current run and of recorded ones."""

import asyncio
from pathlib import Path

import pytest

from marianne_stream.backends.sheet_detail import MAX_VALUE_BYTES
from marianne_stream.backends.values import MAX_TEXT_CHARS
from marianne_stream.config.settings import Settings
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.viewers import open_viewer
from tests.support.waiting import wait_for_value
from tests.web.conftest import Client
from tests.web.test_jobs import get_json


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """Return settings with a history."""
    return settings.model_copy(update={"history": "auto", "data_dir": tmp_path / "data"})


async def test_sheet_has_everything_that_is_known(
    conductor: SimulatedConductor, client: Client
) -> None:
    conductor.launch("a", 2)
    long = "x" * 1000
    conductor.fail_sheet("a", 2, long)
    conductor.jobs["a"].sheet(2).update(
        exit_code=0,
        error_category="validation",
        stdout_tail="written: report.md\n",
        validation_details=[{"description": "report exists", "passed": False}],
        total_cost_usd=0.0,
        input_tokens=1200,
        started_at=None,
        max_retries=3,
    )
    sheet = await get_json(client, "/api/jobs/a/sheets/2")
    assert (sheet["job_id"], sheet["number"], sheet["status"]) == ("a", 2, "failed")
    assert sheet["error_message"] == long
    assert (sheet["exit_code"], sheet["input_tokens"], sheet["max_retries"]) == (0, 1200, 3)
    assert sheet["stdout_tail"] == "written: report.md\n"
    assert sheet["validation_details"] == [{"description": "report exists", "passed": False}]
    assert "estimated_cost" not in sheet
    assert None not in sheet.values()
    entry = (await get_json(client, "/api/jobs/a"))["sheets"][1]
    assert (entry["error_message"], entry["error_truncated"]) == (long[:300], True)
    assert entry.get("completed_at") == sheet.get("completed_at")


async def test_long_output_is_cut_at_its_beginning(
    conductor: SimulatedConductor, client: Client
) -> None:
    conductor.launch("a", 1)
    conductor.jobs["a"].sheet(1)["stdout_tail"] = "a" * MAX_TEXT_CHARS + "the end"
    sheet = await get_json(client, "/api/jobs/a/sheets/1")
    assert len(sheet["stdout_tail"]) == MAX_TEXT_CHARS
    assert sheet["stdout_tail"].endswith("the end")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/jobs/a/sheets/3", 404, "sheet_not_found"),
        ("/api/jobs/none/sheets/1", 404, "job_not_found"),
        ("/api/jobs/a/sheets/one", 400, "bad_parameter"),
        ("/api/jobs/a/sheets/-1", 400, "bad_parameter"),
        ("/api/jobs/a/sheets/1_0", 400, "bad_parameter"),
        ("/api/jobs/a/sheets/1?run=2020-01-01T00:00:00Z", 404, "run_not_found"),
        ("/api/jobs/a/sheets/1?run=a&run=b", 400, "bad_parameter"),
    ],
)
async def test_unknown_sheet(
    conductor: SimulatedConductor, client: Client, path: str, status: int, code: str
) -> None:
    conductor.launch("a", 2)
    async with client.get(path) as response:
        assert (response.status, (await response.json())["code"]) == (status, code)


async def test_sheet_of_a_recorded_run(conductor: SimulatedConductor, client: Client) -> None:
    conductor.launch("a", 1)
    async with open_viewer(client.session, str(client.make_url("/api/jobs/a/stream"))) as viewer:
        await viewer.wait_for("job_sheets")
        conductor.dispatch("a", 1)
        conductor.complete_sheet("a", 1)
        conductor.finish("a")
        await viewer.wait_ended()
    runs = await wait_for_value(
        lambda: get_json(client, "/api/jobs/a/runs"),
        lambda page: page["runs"] and page["runs"][0]["status"] == "completed",
    )
    (run,) = runs["runs"]
    current = await get_json(client, "/api/jobs/a/sheets/1")
    assert current["run"] == run["run"]
    for name in (run["run"], "latest"):
        recorded = await get_json(client, "/api/jobs/a/sheets/1", params={"run": name})
        for field in ("run", "status", "started_at", "completed_at", "attempt"):
            assert recorded[field] == current[field]
    async with client.get("/api/jobs/a/sheets/9", params={"run": "latest"}) as response:
        assert (response.status, (await response.json())["code"]) == (404, "sheet_not_found")


async def test_job_with_values_of_other_types_is_shown_and_recorded(
    conductor: SimulatedConductor, client: Client
) -> None:
    job = conductor.launch("a", 2)
    job.sheet(1).update(normal_attempts=1e30, error_code={"a": 1}, total_duration_seconds=10**30)
    assert job.checkpoint is not None
    job.checkpoint.update(
        total_sheets=2**63, total_input_tokens=1e30, total_output_tokens=2**63, hook_results=["a"]
    )
    shown = await get_json(client, "/api/jobs/a")
    assert (shown["source"], shown["total_sheets"]) == ("conductor", 2)
    runs = await wait_for_value(
        lambda: get_json(client, "/api/jobs/a/runs"), lambda page: page["runs"]
    )
    assert runs["runs"][0]["total_sheets"] == 2


async def test_details_of_other_types_are_absent(
    conductor: SimulatedConductor, client: Client
) -> None:
    deep: list[object] = []
    for _ in range(500):
        deep = [deep]
    conductor.launch("a", 1)
    conductor.jobs["a"].sheet(1).update(
        error_category=5,
        exit_reason={"a": 1},
        stdout_tail=["a"],
        model=3,
        exit_code=True,
        execution_mode=["x"],
        max_retries=1e30,
        last_activity_at=[1],
        outcome_category={},
        validation_details=deep,
    )
    sheet = await get_json(client, "/api/jobs/a/sheets/1")
    assert not sheet.keys() & {
        *("error_category", "exit_reason", "stdout_tail", "model", "exit_code", "execution_mode"),
        *("max_retries", "last_activity_at", "outcome_category"),
    }


async def test_detail_that_is_too_large_is_named(
    conductor: SimulatedConductor, client: Client
) -> None:
    conductor.launch("a", 1)
    conductor.jobs["a"].sheet(1).update(
        error_history=[[]] * 100_000, fallback_chain=["x" * (MAX_VALUE_BYTES - 4)], exit_code=1
    )
    sheet = await get_json(client, "/api/jobs/a/sheets/1")
    assert sheet["omitted"] == ["error_history"]
    assert "error_history" not in sheet
    assert len(sheet["fallback_chain"][0]) == MAX_VALUE_BYTES - 4
    assert sheet["exit_code"] == 1


async def test_requests_for_sheets_of_a_job_share_one_read(
    conductor: SimulatedConductor, client: Client
) -> None:
    conductor.launch("a", 30)
    async with open_viewer(client.session, str(client.make_url("/api/jobs/a/stream"))) as viewer:
        await viewer.wait_for("job_sheets")
        before = conductor.statistics.requests["job.status"]
        numbers = range(1, 31)
        sheets = await asyncio.gather(
            *(get_json(client, f"/api/jobs/a/sheets/{number}") for number in numbers)
        )
        assert [sheet["number"] for sheet in sheets] == list(numbers)
        assert conductor.statistics.requests["job.status"] - before < 5


async def test_changed_job_is_not_answered_with_an_earlier_read(
    conductor: SimulatedConductor, client: Client
) -> None:
    conductor.launch("a", 1)
    conductor.dispatch("a", 1)
    async with open_viewer(client.session, str(client.make_url("/api/jobs/a/stream"))) as viewer:
        await viewer.wait_for("job_sheets")
        await get_json(client, "/api/jobs/a/sheets/1")
        conductor.fail_sheet("a", 1, "no memory")
        sheet = await wait_for_value(
            lambda: get_json(client, "/api/jobs/a/sheets/1"),
            lambda sheet: sheet["status"] == "failed",
        )
        assert sheet["error_message"] == "no memory"
        (entry,) = (await get_json(client, "/api/jobs/a"))["sheets"]
        assert entry["completed_at"] == sheet["completed_at"]
