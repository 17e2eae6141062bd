"""Notifications through the real Apprise, from a server that is killed, and `notify-test`."""

import contextlib
import re
import signal
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import aiohttp

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.jobs.run_times import make_run_name
from tests.support.history_servers import (
    find_history,
    kill,
    run_recording_server,
    stop,
)
from tests.support.notify_targets import (
    ACCEPT,
    FAIL,
    HANG,
    LIMIT,
    PASSWORD,
    HttpTarget,
    LocalTarget,
    MailTarget,
)
from tests.support.outboxes import read_rows
from tests.support.processes import CHECKOUT, ManagedProcess
from tests.support.terminals import run_command
from tests.support.waiting import wait_for_value, wait_until

# What the targets do while each of the servers runs; None: nothing listens.
BEHAVIOURS = (FAIL, None, LIMIT, ACCEPT, HANG, FAIL, ACCEPT, None, LIMIT, HANG)

GUIDE = CHECKOUT / "docs" / "how-to" / "notifications.md"

ALL_KINDS = '["failed", "completed", "cancelled", "paused", "waiting_for_person", "sheet_failed"]'


def write_rule(folder: Path, on: str, *targets: HttpTarget | MailTarget) -> Path:
    """Write a settings file with one rule."""
    path = folder / "settings.toml"
    urls = ", ".join(f'"{target.url}"' for target in targets)
    more = "away_after_s = 10\n" if "conductor_away" in on else ""
    path.write_text(f"[[notifications]]\non = {on}\ntargets = [{urls}]\n{more}")
    path.chmod(0o600)
    return path


async def wait_for_status(folder: Path, *change: object) -> None:
    """Wait until a transition is stored: job, number of the sheet, and status."""
    await wait_until(
        lambda: change in read_rows(find_history(folder), "job_id, number, status", "transitions"),
    )


async def change_jobs(conductor: SimulatedConductor, folder: Path, number: int) -> list[str]:
    """Take two jobs through statuses, and return the keys of the messages without their runs.

    The server has seen both not ended before they end. It may be killed before it sees the end.
    """
    good, bad = f"good-{number}", f"bad {number}@all"
    for job_id in (good, bad):
        conductor.launch(job_id, sheets=2)
        await wait_for_status(folder, job_id, 0, "running")
    conductor.pause(good)
    await wait_for_status(folder, good, 0, "paused")
    conductor.resume(good)
    await wait_for_status(folder, good, 0, "running")
    conductor.fail_sheet(bad, 1, "Exit code 1")
    conductor.finish(bad, "failed")
    conductor.complete_sheet(good, 1)
    conductor.finish(good, "completed" if number % 2 else "cancelled")
    quoted = f"bad%20{number}%40all"
    end = "completed" if number % 2 else "cancelled"
    return [
        *(f"{good}:paused", f"{good}:{end}", f"{quoted}:sheet_failed:1:1", f"{quoted}:failed"),
    ]


def without_runs(keys: Iterable[str]) -> set[str]:
    """Return keys without their runs."""
    return {re.sub(r"@[^:]+:\d\d:\d\dZ:", ":", key) for key in keys}


def has_keys(target: LocalTarget, expected: set[str]) -> bool:
    """Return whether a target has the messages with these keys."""
    return without_runs(target.keys) >= expected


def assert_no_secret(folder: Path, servers: Iterable[ManagedProcess], metrics: str = "") -> None:
    """Check that the password of the targets is in no output and no file but the settings."""
    texts = [server.log + server.output + server.first_line for server in servers]
    assert not [text for text in (*texts, metrics) if PASSWORD in text]
    files = [path for path in (folder / "data").iterdir() if path.is_file()]
    assert not [path for path in files if PASSWORD.encode() in path.read_bytes()]


async def fetch_metrics(server: ManagedProcess) -> str:
    """Return the metrics of a server."""
    async with aiohttp.ClientSession() as session, session.get(f"{server.address}/metrics") as got:
        return await got.text()


async def test_every_transition_arrives_though_targets_fail_and_the_server_is_killed(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    targets: list[HttpTarget | MailTarget] = [HttpTarget(), MailTarget()]
    settings = write_rule(tmp_path, ALL_KINDS, *targets)
    servers: list[ManagedProcess] = []
    expected: set[str] = set()
    for number, behaviour in enumerate(BEHAVIOURS):
        async with contextlib.AsyncExitStack() as stack:
            for target in targets:
                if behaviour is not None:
                    target.behaviour = behaviour
                    await stack.enter_async_context(target.run())
            options = ("--config", settings, "--log-level", "debug")
            server = await stack.enter_async_context(run_recording_server(tmp_path, *options))
            servers.append(server)
            expected |= set(await change_jobs(conductor, tmp_path, number))
            await kill(server)
    for target in targets:
        target.behaviour = ACCEPT
    async with (
        targets[0].run(),
        targets[1].run(),
        run_recording_server(tmp_path, "--config", settings) as server,
    ):
        for target in targets:
            await wait_until(partial(has_keys, target, expected), timeout_s=120)
        metrics = await wait_for_value(
            partial(fetch_metrics, server),
            lambda text: "marianne_stream_notifications_waiting 0.0" in text,
        )
        await stop(server)
    for target in targets:
        assert without_runs(target.keys) == expected
        # A key has its run: the second in which the job was submitted.
        runs = {make_run_name(job.submitted_at) for job in conductor.jobs.values()}
        assert {re.findall(r"@([^:]+:\d\d:\d\dZ):", key)[0] for key in target.keys} == runs
    assert_no_secret(tmp_path, [*servers, server], metrics)


async def test_server_stops_while_a_target_hangs(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    target = HttpTarget()
    target.behaviour = HANG
    settings = write_rule(tmp_path, ALL_KINDS, target)
    options = ("--config", settings, "--drain-timeout-s", 0)
    async with target.run(), run_recording_server(tmp_path, *options) as server:
        await change_jobs(conductor, tmp_path, 0)
        await wait_until(lambda: target.attempts)
        server.send_signal(signal.SIGTERM)
        assert await server.wait(timeout_s=5) == 0


async def test_conductor_that_is_away_is_told_once(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    target = HttpTarget()
    settings = write_rule(tmp_path, '["conductor_away", "failed"]', target)
    async with target.run(), run_recording_server(tmp_path, "--config", settings) as server:
        conductor.launch("a", 1)
        await wait_for_status(tmp_path, "a", 0, "running")
        await conductor.kill()
        await wait_until(lambda: target.bodies, timeout_s=60)
        await conductor.start()
        conductor.finish("a", "failed")
        await wait_until(lambda: len(target.bodies) > 1, timeout_s=60)
        await stop(server)
    assert target.titles[0] == "The conductor is away"
    assert without_runs(target.keys) == {"conductor:conductor_away", "a:failed"}
    assert len(target.keys) == 2


def read_guide(pattern: str) -> str:
    """Return a part of the how-to."""
    found = re.search(pattern, GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def write_guide_settings(folder: Path, mail: MailTarget, ntfy: HttpTarget) -> Path:
    """Write the settings of the how-to with the addresses of these targets."""
    text = read_guide(r"```toml\n(.*?)```")
    for old, new in {
        "mailtos://robot:PASSWORD@mail.example.org": mail.url.partition("?")[0],
        "ntfys://TOKEN@ntfy.example.org": f"ntfy://tk_{PASSWORD}@127.0.0.1:{ntfy.port}",
    }.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "marianne-stream.toml"
    path.write_text(text)
    path.chmod(0o600)
    return path


async def test_guide_leads_to_messages_by_mail_and_ntfy(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    mail, ntfy = MailTarget(), HttpTarget()
    settings = write_guide_settings(tmp_path, mail, ntfy)
    command, *output = read_guide(r"^\$ (marianne-stream notify-test.*?)```").splitlines()
    options = command.split()[1:-1]
    async with mail.run(), ntfy.run():
        tested = await run_command(tmp_path, *options, settings)
        assert tested.stderr == ""
        assert tested.lines == [
            line.replace("mailtos", "mailto").replace("ntfys", "ntfy") for line in output
        ]
        assert ntfy.titles == mail.titles * 2
        conductor.launch("nightly", sheets=4)
        async with run_recording_server(tmp_path, "--config", settings) as server:
            await wait_for_status(tmp_path, "nightly", 0, "running")
            conductor.complete_sheet("nightly", 1)
            conductor.complete_sheet("nightly", 2)
            conductor.fail_sheet("nightly", 3, "pytest: 2 failed, 40 passed")
            conductor.finish("nightly", "failed")
            for target in (mail, ntfy):
                await wait_until(partial(has_keys, target, {"nightly:failed"}), timeout_s=60)
            await stop(server)
    title, _, body = read_guide(r"```text\n(.*?)\n```").partition("\n\n")
    for target in (mail, ntfy):
        assert target.titles[-1] == title
        assert blank_times(target.bodies[-1]) == blank_times(body)


def blank_times(body: str) -> str:
    """Return a message without its times."""
    return re.sub(r"(?<=nightly@)[^:]+:\d\d:\d\dZ|(?<=Worked for: ).*", "TIME", body)


async def test_notify_test_exits_1_if_a_target_refuses(tmp_path: Path) -> None:
    mail, http = MailTarget(), HttpTarget()
    http.behaviour = FAIL
    settings = write_rule(tmp_path, '["failed"]', mail, http)
    async with mail.run(), http.run():
        ended = await run_command(tmp_path, "notify-test", "--config", settings, "--rule", "1")
    assert (ended.exit_code, ended.stderr) == (1, "")
    assert ended.lines == ["rule 1: mailto sent", "rule 1: json failed"]
    assert mail.titles == ["Test of marianne-stream"]


async def test_notify_test_of_an_unknown_rule_names_the_rules(tmp_path: Path) -> None:
    settings = write_rule(tmp_path, '["failed"]', HttpTarget())
    ended = await run_command(tmp_path, "notify-test", "--config", settings, "--rule", "nightly")
    assert (ended.exit_code, ended.lines) == (2, [])
    assert ended.stderr == "marianne-stream: no rule nightly; rules: 1\n"


async def test_check_names_the_rules_and_sends_nothing(tmp_path: Path) -> None:
    target = HttpTarget()
    settings = write_rule(tmp_path, '["failed"]', target)
    async with target.run():
        ended = await run_command(tmp_path, "check", "--config", settings, "--data-dir", tmp_path)
        settings.chmod(0o644)
        warned = await run_command(tmp_path, "check", "--config", settings, "--data-dir", tmp_path)
    assert "ok       notifications: 1 rule, 1 target" in ended.lines
    text = f"others may read {settings}, whose targets hold passwords. To do: chmod 600 {settings}"
    assert f"warning  notifications: {text}" in warned.lines
    assert target.attempts == 0
