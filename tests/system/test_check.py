"""The `check` command as a process: findings, advice and exit codes."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from marianne_stream.cli.diagnostics import conductor_checks
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.errors import ConductorTimeoutError
from tests.support.ports import free_port
from tests.support.redis_server import run_redis
from tests.support.terminals import CompletedCommand, run_command
from tests.support.waiting import wait_until


def path_args(folder: Path) -> tuple[object, ...]:
    """Return the options that name the folders of a test."""
    return (
        *("--conductor-socket", folder / "c.sock", "--registry-path", folder / "state.db"),
        *("--data-dir", folder / "private"),
    )


def findings(ended: CompletedCommand) -> dict[str, tuple[str, str]]:
    """Return the level and the text of each line, by its subject."""
    lines = {}
    for line in ended.lines:
        level, _, rest = line.partition(" ")
        subject, _, text = rest.strip().partition(": ")
        lines[subject] = (level, text)
    return lines


async def test_valid_setup_exits_0(conductor: SimulatedConductor, tmp_path: Path) -> None:
    (workspace := tmp_path / "ws").mkdir()
    (workspace / "marianne.log").write_text("one\n")
    (tmp_path / "conductor.log").touch()
    conductor.daemon.log_file = str(tmp_path / "conductor.log")
    conductor.launch("logged", 1, workspace=str(workspace))
    conductor.launch("silent", 1, workspace=str(tmp_path))
    await conductor.flush()
    config = tmp_path / "settings.toml"
    config.write_text("port = 0\n")
    ended = await run_command(tmp_path, "check", "--config", config, *path_args(tmp_path))
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert findings(ended) == {
        "settings": ("ok", f"valid, with {config}"),
        "conductor": (
            "ok",
            f"{tmp_path}/c.sock answers, pid {conductor.daemon.pid}, and lists 2 jobs",
        ),
        "registry": ("ok", f"{tmp_path}/state.db has 2 jobs"),
        "conductor's log": ("ok", f"{tmp_path}/conductor.log can be read"),
        "jobs' logs": ("ok", "1 of 2 jobs with a log of their own"),
        "data_dir": ("ok", f"{tmp_path}/private does not exist yet, and can be created"),
        "tokens": ("ok", "the server generates a token when it starts"),
    }
    # The check created nothing and left no connection open.
    assert not (tmp_path / "private").exists()
    await wait_until(lambda: conductor.statistics.connections_open == 0)
    assert set(conductor.statistics.requests) == {"daemon.health", "daemon.config", "job.list"}


async def test_conductor_without_a_free_slot_is_an_error_with_advice(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    others = [await asyncio.open_unix_connection(conductor.socket_path) for _ in range(5)]
    await wait_until(lambda: conductor.statistics.connections_open == 5)
    ended = await run_command(tmp_path, "check", *path_args(tmp_path))
    for _, writer in others:
        writer.close()
    assert (ended.exit_code, ended.stderr) == (1, "")
    level, text = findings(ended)["conductor"]
    assert level == "error"
    assert "gives no answer within 1 s: all its connection slots may be taken. To do: close" in text
    assert "SIGKILL" in text


async def test_conductor_that_does_not_answer_a_method_is_an_error_with_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(conductor_checks, "RESPONSE_TIMEOUT_S", 0.5)
    closed = asyncio.Event()

    async def answer_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = json.loads(await reader.readline())
        writer.write(b'{"jsonrpc":"2.0","id":%d,"result":{}}\n' % request["id"])
        await reader.read()
        writer.close()
        closed.set()

    path = tmp_path / "c.sock"
    async with await asyncio.start_unix_server(answer_first, path):
        with pytest.raises(ConductorTimeoutError) as raised:
            await conductor_checks.query_conductor(path)
        await closed.wait()
    finding = conductor_checks.error_finding(raised.value, is_only_source=True)
    assert finding.level == "error"
    assert finding.text == "the conductor did not answer daemon.config within 0.5 s"


async def test_stopped_conductor_with_a_registry_is_a_warning(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    conductor.launch("a", 1)
    await conductor.stop()
    ended = await run_command(tmp_path, "check", *path_args(tmp_path))
    assert ended.exit_code == 0
    level, text = findings(ended)["conductor"]
    assert level == "warning"
    assert f"there is no socket at {tmp_path}/c.sock. To do: start the conductor" in text
    assert findings(ended)["registry"] == ("ok", f"{tmp_path}/state.db has 1 job")
    assert findings(ended)["jobs' logs"][1].startswith("0 of 1 job with a log of their own. To do:")
    alone = await run_command(
        tmp_path, "check", "--state-backend", "conductor", *path_args(tmp_path)
    )
    assert alone.exit_code == 1


async def test_registry_of_another_conductor_is_a_warning(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    del conductor
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as registry:
        registry.execute("CREATE TABLE jobs (job_id TEXT PRIMARY KEY, status TEXT)")
    ended = await run_command(tmp_path, "check", *path_args(tmp_path), "--registry-path", other)
    assert ended.exit_code == 0
    level, text = findings(ended)["registry"]
    assert level == "warning"
    assert text.startswith(f"{other} is not read: the conductor's registry is {tmp_path}/state.db.")
    assert "To do:" in text


async def test_each_missing_part_is_an_error(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("token-of-somebody-0123456789 name=old expires=2020-01-01\n")
    tokens.chmod(0o600)
    (tmp_path / "private").write_text("no folder\n")
    dead = f"redis://:secret@127.0.0.1:{free_port()}"
    ended = await run_command(
        tmp_path,
        *("check", "--state-backend", "registry", *path_args(tmp_path), "--token-file", tokens),
        *("--publish-url", dead, "--source-name", "here"),
    )
    assert ended.exit_code == 1
    lines = findings(ended)
    assert "conductor" not in lines
    assert lines["registry"][0] == "error"
    assert f"there is no registry at {tmp_path}/state.db. To do:" in lines["registry"][1]
    assert lines["data_dir"][0] == "warning"
    assert "is not a folder" in lines["data_dir"][1]
    assert lines["tokens"][0] == "error"
    assert "have expired" in lines["tokens"][1]
    assert lines["publish_url"][0] == "error"
    assert "does not answer" in lines["publish_url"][1]
    assert "secret" not in ended.stdout
    assert "token-of-somebody" not in ended.stdout


async def test_unusable_secret_of_a_proxy_is_an_error(tmp_path: Path) -> None:
    (secret := tmp_path / "proxy-secret").write_text("proxy-secret-0123456789\n")
    arguments = (
        *("check", "--state-backend", "registry", *path_args(tmp_path)),
        *("--auth-user-header", "X-User", "--auth-header-secret-file", secret),
    )
    for mode, level in ((0o644, "error"), (0o600, "ok")):
        secret.chmod(mode)
        ended = await run_command(tmp_path, *arguments)
        assert findings(ended)["auth_header_secret_file"][0] == level
        assert "0123456789" not in ended.stdout


async def test_symlinked_log_is_reported_unreadable(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    (workspace := tmp_path / "ws").mkdir()
    (workspace / "marianne.log").symlink_to("/etc/passwd")
    conductor.launch("linked", 1, workspace=str(workspace))
    ended = await run_command(tmp_path, "check", *path_args(tmp_path))
    level, text = findings(ended)["jobs' logs"]
    assert level == "warning"
    assert text.startswith("0 of 1 job with a log of their own, 1 may not be read. To do: run the")


async def test_checkpoint_directory_is_read(tmp_path: Path) -> None:
    json_state = ("--state-backend", "json", "--checkpoint-dir", tmp_path / "states")
    ended = await run_command(tmp_path, "check", *json_state, *path_args(tmp_path))
    assert (ended.exit_code, findings(ended)["checkpoints"][0]) == (1, "error")
    (tmp_path / "states").mkdir()
    ended = await run_command(tmp_path, "check", *json_state, *path_args(tmp_path))
    assert (ended.exit_code, findings(ended)["checkpoints"][1]) == (
        0,
        f"{tmp_path}/states has 0 jobs",
    )


async def test_redis_of_an_edge_is_checked(tmp_path: Path) -> None:
    async with run_redis(tmp_path) as redis:
        ended = await run_command(
            tmp_path,
            "check",
            "--state-backend",
            "redis",
            "--redis-url",
            redis.url,
            "--sources",
            "oak",
            *path_args(tmp_path),
        )
    assert ended.exit_code == 0
    assert set(findings(ended)) == {"settings", "data_dir", "tokens", "redis_url"}
    assert findings(ended)["redis_url"] == ("ok", f"{redis.url} answers")


@pytest.mark.parametrize("options", [("--port", "x"), ("--stat", "auto")])
async def test_invalid_settings_exit_2(tmp_path: Path, options: tuple[str, ...]) -> None:
    ended = await run_command(tmp_path, "check", *options)
    assert (ended.exit_code, ended.stdout) == (2, "")
