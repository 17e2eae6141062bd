"""Rules of notifications in the settings file."""

import dataclasses
import logging
import re
from pathlib import Path
from typing import get_args

import pytest

from marianne_stream.cli import serve as serve_command
from marianne_stream.cli.commands import make_parser
from marianne_stream.config.loading import load_settings
from marianne_stream.config.settings import Settings
from marianne_stream.errors import SettingsError
from marianne_stream.notify.rules import Kind, Rule, rules_by_name, target_digest
from tests.support.markdown import REFERENCE, rows_below, section

TARGET = "json://user:hunter2@127.0.0.1:8080/"
RULE = f'[[notifications]]\non = ["failed"]\ntargets = ["{TARGET}"]\n'


def load(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    return load_settings({}, path)


def test_rules_are_read_from_the_settings_file(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        f'{RULE}{RULE}name = "night"\njobs = ["nightly-*"]\nmax_per_hour = 5\naway_after_s = 60\n',
    )
    first, second = settings.notifications
    assert first == Rule(on=("failed",), targets=(TARGET,))
    assert (first.jobs, first.max_per_hour, first.away_after_s) == ((), 1000, 300.0)
    assert (second.jobs, second.max_per_hour, second.away_after_s) == (("nightly-*",), 5, 60.0)
    assert rules_by_name(settings.notifications) == {"1": first, "night": second}


def test_reference_has_every_key_and_kind_and_an_example_that_is_valid(tmp_path: Path) -> None:
    text = section(REFERENCE / "settings.md", "Notifications")
    keys = [cells[0] for cells in rows_below(text, "key of a rule")]
    assert keys == [f"`{field.name}`" for field in dataclasses.fields(Rule)]
    kinds = " ".join(cells[0] for cells in rows_below(text, "kind"))
    assert sorted(re.findall(r"`(\w+)`", kinds)) == sorted(get_args(Kind))
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (rule,) = load(tmp_path, example).notifications
    assert rule.jobs == ("nightly-*",)


def test_settings_and_digests_do_not_show_targets(tmp_path: Path) -> None:
    settings = load(tmp_path, RULE)
    assert "hunter2" not in repr(settings)
    assert len(target_digest(TARGET)) == 16
    assert target_digest(TARGET) != target_digest(TARGET + "x")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            RULE.replace('"failed"', '"ended"'),
            "rule 1 of notifications in .*: on: .*'failed'.*'ended'",
        ),
        (RULE.replace('["failed"]', "[]"), "rule 1 .*: on: .* at least 1 item"),
        (RULE.replace('["failed"]', '"failed"'), "rule 1 .*: on: .*list, got 'failed'"),
        (RULE.replace('on = ["failed"]\n', ""), "rule 1 .*: on: Field required$"),
        (f"{RULE}[[notifications]]\non = ['failed']", "rule 2 .*: targets: Field required$"),
        (RULE.replace(f'"{TARGET}"', ""), "rule 1 .*: targets: .* at least 1 item"),
        (RULE.replace(f'["{TARGET}"]', f'"{TARGET}"'), "rule 1 .*: targets: .*list$"),
        (RULE.replace(f'["{TARGET}"]', f'{{url = "{TARGET}"}}'), "rule 1 .*: targets: .*list$"),
        (RULE.replace("targets", "target"), "rule 1 .*: (target: Unexpected|targets: Field)"),
        (RULE + "max_per_hour = 0", "rule 1 .*: max_per_hour: .*equal to 1, got 0$"),
        (RULE + "max_per_hour = 1001", "rule 1 .*: max_per_hour: .*equal to 1000, got 1001$"),
        (RULE + "max_per_hour = true", "rule 1 .*: max_per_hour: .*integer, got True$"),
        (RULE + "away_after_s = 9.5", "rule 1 .*: away_after_s: .*equal to 10, got 9.5$"),
        (RULE + "away_after_s = nan", "rule 1 .*: away_after_s: "),
        (RULE + 'name = "1"', "rule 1 .*: name: .*pattern"),
        (RULE + 'jobs = [""]', "rule 1 .*: jobs: .*at least 1 character"),
        (f'notifications = ["{TARGET}"]', r"must be tables `\[\[notifications\]\]`$"),
        (f'notifications = "{TARGET}"', r"must be tables `\[\[notifications\]\]`$"),
        (f'{RULE}name = "a"\n{RULE}name = "a"', "must have different names"),
        (f'history = "none"\n{RULE}', "notifications need the history"),
        (
            f'state_backend = "redis"\nredis_url = "redis://x"\nsources = ["a"]\n{RULE}',
            "state_backend redis excludes notifications",
        ),
        (
            f'state_backend = "registry"\n{RULE}'.replace("failed", "conductor_away"),
            "conductor_away needs state_backend auto or conductor",
        ),
    ],
)
def test_invalid_rule_error_names_its_field_and_no_target(
    tmp_path: Path, text: str, sentence: str
) -> None:
    with pytest.raises(SettingsError, match=sentence) as caught:
        load(tmp_path, text)
    assert "hunter2" not in f"{caught.value}{caught.value.__cause__}"


def test_environment_variable_of_rules_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARIANNE_STREAM_NOTIFICATIONS", "[]")
    with pytest.raises(SettingsError, match="NOTIFICATIONS is not read: put notifications into"):
        load_settings({})


def test_rules_have_no_option(capsys: pytest.CaptureFixture[str]) -> None:
    parser = make_parser("serve", serve_command)
    with pytest.raises(SystemExit):
        parser.parse_args(["--notifications", "x"])
    assert "unrecognized arguments" in capsys.readouterr().err
    assert "notifications are only there" in " ".join(parser.format_help().split())


@pytest.mark.parametrize(("mode", "warnings"), [(0o600, 0), (0o640, 1), (0o604, 1)])
def test_settings_file_with_targets_that_others_may_read_is_a_warning(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    mode: int,
    warnings: int,
) -> None:
    async def serve(*_args: object, **_options: object) -> int:
        return 0

    monkeypatch.setattr(serve_command, "serve", serve)
    monkeypatch.setattr(serve_command, "configure_logging", lambda *_args: None)
    for text, expected in ((RULE, warnings), ("", 0)):
        caplog.clear()
        path = tmp_path / "settings.toml"
        path.write_text(text)
        path.chmod(mode)
        options = make_parser("serve", serve_command).parse_args(["--config", str(path)])
        assert serve_command.run(options) == 0
        assert [record.levelno for record in caplog.records] == [logging.WARNING] * expected
        assert "hunter2" not in caplog.text
