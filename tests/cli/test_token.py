"""`token add`, `list` and `revoke`: the token file afterwards, and what is printed."""

import asyncio
import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import aiohttp
import pytest

from marianne_stream.auth.token_editor import lock_token_file, replace_file
from marianne_stream.auth.tokens import read_tokens
from marianne_stream.cli.main import main
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.errors import SettingsError
from tests.support.external import require_program
from tests.support.markdown import DOCS, section
from tests.support.processes import run_process
from tests.support.terminals import CompletedCommand, run_command
from tests.support.waiting import wait_until

TEAM, NIGHT = "team-token-0123456789", "night-token-0123456789"

TEXT = f"# the team\r\n{TEAM}\n\n  {NIGHT}  nightly-*   name=night   # of the night\n# the end"


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """Write a token file with comments, odd blanks, and no newline at its end."""
    path = tmp_path / "tokens"
    path.write_bytes(TEXT.encode())
    path.chmod(0o600)
    return path


RunToken = Callable[..., CompletedCommand]


@pytest.fixture
def run_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> RunToken:
    """Return a function that runs the command in this process, by default with the file of here."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)

    def run(*arguments: str, settings: Sequence[str] = ()) -> CompletedCommand:
        settings = settings or ("--token-file", str(tmp_path / "tokens"))
        try:
            code = main(("token", *arguments, *settings))
        except SystemExit as ended:
            code = int(ended.code or 0)
        return CompletedCommand(code, *capsys.readouterr())

    return run


def test_added_token_is_printed_once_and_keeps_other_lines(
    tmp_path: Path, tokens: Path, run_token: RunToken
) -> None:
    ended = run_token(
        *("add", "bob@example.org", "--jobs", "nightly-*", "weekly", "--rights", "files"),
        *("--expires", "2999-12-31 18:00"),
    )
    assert ended.exit_code == 0
    assert re.fullmatch(r"[\w-]{43}\n", ended.stdout)
    assert "SIGHUP" in ended.stderr
    secret = ended.stdout.strip()
    assert secret not in ended.stderr
    options = "name=bob@example.org rights=files expires=2999-12-31T18:00"
    added = f"\n{secret} nightly-* weekly {options}\n"
    assert tokens.read_bytes() == (TEXT + added).encode()
    assert tokens.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"tokens"}
    token = read_tokens(tokens)[secret]
    assert token.job_scope.patterns == ("nightly-*", "weekly")
    assert token.rights == {"files"}


def test_commands_of_the_guide_print_what_it_shows(tmp_path: Path) -> None:
    (block,) = re.findall(
        r"^```console\n(.*?)^```",
        section(DOCS / "how-to" / "tokens.md", "Tokens of your own"),
        re.MULTILINE | re.DOTALL,
    )
    typed = re.findall(r"^\$ (.*)$", block, re.MULTILINE)
    shown = re.findall(r"^(?!\$ ).+$", block, re.MULTILINE)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ended = subprocess.run(
        [require_program("bash"), "-ec", "\n".join(typed)],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "TZ": "UTC"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    tokens = read_tokens(tmp_path / "tokens")
    assert ended.stdout.splitlines() == [*tokens, *shown]


def test_first_token_of_an_empty_file_is_for_all_jobs(tmp_path: Path, run_token: RunToken) -> None:
    (tmp_path / "tokens").touch(mode=0o600)
    ended = run_token("add", "team")
    (token,) = read_tokens(tmp_path / "tokens").values()
    assert ended.exit_code == 0
    assert (token.name, token.job_scope.matches_all) == ("team", True)
    assert token.rights == {"files"}


def test_list_shows_names_jobs_and_ends_without_secrets(run_token: RunToken, tokens: Path) -> None:
    with tokens.open("a") as file:
        file.write("\nold-token-0123456789 name=old expires=2020-01-01T00:00Z a\x1b[2Jb\n")
    ended = run_token("list")
    rows = [re.split(r"  +", line) for line in ended.stdout.splitlines()]
    assert rows[:3] == [
        ["NAME", "JOBS", "RIGHTS", "EXPIRES"],
        ["line-2", "all jobs", "files", "never"],
        ["night", "nightly-* # of the night", "none", "never"],
    ]
    assert rows[3][:3] == ["old", "ab", "none"]
    assert rows[3][3].endswith(" (expired)")
    assert ended.exit_code == 0
    assert "0123456789" not in ended.stdout + ended.stderr


def test_revoked_token_leaves_a_comment_and_the_other_lines(
    run_token: RunToken, tokens: Path
) -> None:
    ended = run_token("revoke", "line-2")
    assert ended.exit_code == 0
    assert ended.stdout == f"line-2 is revoked in {tokens}.\n"
    lines = tokens.read_bytes().decode().split("\n")
    assert re.fullmatch(r"# line-2 was revoked at \S+", lines.pop(1))
    assert lines == [line for line in TEXT.split("\n") if not line.startswith(TEAM)]
    assert [token.name for token in read_tokens(tokens).values()] == ["night"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "night"), "night is the name of the token in line 4 of"),
        (("add", "line-7"), "line-7 is a default name, of a token without name="),
        (("add", "a b"), "name= must have 1 to 64 letters"),
        (("add", "a", "--rights", "all"), "rights= must be none or"),
        (("add", "a", "--expires", "soon"), "expires= must be a date or a time in ISO 8601"),
        (("add", "a", "--expires", "2020-01-01"), "must be in the future, got 2020-01-01"),
        (("add", "a", "--jobs", ""), "a pattern must be printable and have no blanks"),
        (("add", "a", "--jobs", "a=b"), "a pattern must be printable and have no blanks"),
        (("add", "a", "--jobs", "a\nb"), "a pattern must be printable and have no blanks"),
        (("revoke", "bob"), "no token in"),
        (("add",), "required: NAME"),
        (("remove", "night"), "invalid choice: 'remove'"),
    ],
)
def test_refused_action_leaves_the_file_as_it_was(
    run_token: RunToken, tokens: Path, arguments: tuple[str, ...], message: str
) -> None:
    before = tokens.stat().st_ino
    ended = run_token(*arguments)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert message in ended.stderr
    assert (tokens.stat().st_ino, tokens.read_bytes()) == (before, TEXT.encode())


@pytest.mark.parametrize("action", [("add", "bob"), ("list",), ("revoke", "night")])
def test_missing_or_unsafe_file_is_refused(
    tmp_path: Path, action: tuple[str, ...], run_token: RunToken
) -> None:
    ended = run_token(*action)
    assert ended.exit_code == 2
    assert "does not exist; create it with: install -m 600 /dev/null" in ended.stderr
    (tmp_path / "tokens").write_text(TEXT)
    (tmp_path / "tokens").chmod(0o640)
    ended = run_token(*action)
    assert ended.exit_code == 2
    assert "has mode 0640" in ended.stderr
    ended = run_token(*action, settings=("--data-dir", str(tmp_path / "none")))
    assert ended.exit_code == 2
    assert "no token file: set token_file" in ended.stderr
    assert not (tmp_path / "none").exists()


def test_only_token_is_not_revoked(run_token: RunToken, tokens: Path) -> None:
    run_token("revoke", "night")
    ended = run_token("revoke", "line-2")
    assert ended.exit_code == 2
    assert "line-2 is the only token" in ended.stderr
    assert TEAM in tokens.read_text()


async def test_copy_of_systemd_is_not_changed(tmp_path: Path, tokens: Path) -> None:
    ended = await run_command(
        tmp_path, "token", "revoke", "night", CREDENTIALS_DIRECTORY=str(tmp_path)
    )
    assert ended.exit_code == 2
    assert "is a copy that systemd has made" in ended.stderr
    assert NIGHT in tokens.read_text()


def test_link_to_a_token_file_stays_a_link(
    tmp_path: Path, tokens: Path, run_token: RunToken
) -> None:
    (real := tmp_path / "real").mkdir()
    tokens.rename(real / "tokens")
    tokens.symlink_to(real / "tokens")
    assert run_token("add", "bob").exit_code == 0
    assert tokens.is_symlink()
    assert "name=bob" in (real / "tokens").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_file_that_root_edits_keeps_its_owner(run_token: RunToken, tokens: Path) -> None:
    os.chown(tokens, 65534, 65534)
    assert run_token("add", "bob").exit_code == 0
    status = tokens.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (65534, 65534, 0o600)


def test_failed_write_leaves_the_file_and_nothing_else(
    tokens: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(SettingsError, match="cannot be written: No space left"):
        replace_file(tokens, "other")
    assert tokens.read_bytes() == TEXT.encode()
    assert list(tokens.parent.iterdir()) == [tokens]


def test_second_command_at_a_time_is_refused(run_token: RunToken, tokens: Path) -> None:
    with lock_token_file(tokens):
        ended = run_token("add", "bob")
    assert ended.exit_code == 2
    assert "another command changes" in ended.stderr


def test_folder_that_cannot_be_locked_is_refused(
    run_token: RunToken, tokens: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int, _operation: int) -> None:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", fail)
    ended = run_token("add", "bob")
    assert ended.exit_code == 2
    assert f"{tokens} cannot be locked: Bad file descriptor" in ended.stderr


def test_failure_while_the_lock_is_held_is_not_taken_for_another_command(tokens: Path) -> None:
    with pytest.raises(BlockingIOError), lock_token_file(tokens):
        raise BlockingIOError


@pytest.mark.parametrize("action", [("add", "bob"), ("list",), ("revoke", "night")])
@pytest.mark.parametrize("option", ["--token-file", "--data-dir"])
def test_folder_that_may_not_be_searched_is_refused(
    tokens: Path,
    action: tuple[str, ...],
    option: str,
    run_token: RunToken,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", fail)
    value = tokens if option == "--token-file" else tokens.parent
    ended = run_token(*action, settings=(option, str(value)))
    assert ended.exit_code == 2
    assert "cannot be read: Permission denied" in ended.stderr


async def test_tokens_added_at_once_are_all_kept_or_refused(tmp_path: Path, tokens: Path) -> None:
    arguments = [("token", "add", f"user{n}", "--token-file", tokens) for n in range(3)]
    ended = await asyncio.gather(*(run_command(tmp_path, *each) for each in arguments))
    printed = {each.stdout.strip() for each in ended if each.exit_code == 0}
    assert printed
    assert printed == read_tokens(tokens).keys() - {TEAM, NIGHT}
    refused = [each.stderr for each in ended if each.exit_code != 0]
    assert all("another command changes" in text for text in refused)


async def test_running_server_takes_over_at_sighup(
    conductor: SimulatedConductor, tmp_path: Path, tokens: Path, run_token: RunToken
) -> None:
    del conductor
    async with (
        run_process(
            *("-m", "marianne_stream", "--port", 0, "--token-file", tokens),
            *("--data-dir", tmp_path / "own", "--conductor-socket", tmp_path / "c.sock"),
            *("--registry-path", tmp_path / "state.db"),
        ) as server,
        aiohttp.ClientSession() as session,
    ):

        async def request_status(token: str) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            async with session.get(f"{server.address}/api/jobs", headers=headers) as answer:
                return answer.status

        secret = run_token("add", "bob").stdout.strip()
        run_token("revoke", "line-2")
        assert [await request_status(token) for token in (TEAM, secret)] == [200, 401]
        server.send_signal(signal.SIGHUP)
        await wait_until(lambda: "tokens reloaded" in server.log)
        assert [await request_status(token) for token in (TEAM, secret)] == [401, 200]
        assert "token revoked token=line-2" in server.log
        assert secret not in server.log
