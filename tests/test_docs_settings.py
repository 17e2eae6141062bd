"""The reference documents every setting, command, option and exit code, and no other."""

import re
from argparse import SUPPRESS, Action, _SubParsersAction

import pytest

from marianne_stream.cli import client_command
from marianne_stream.cli.commands import COMMANDS, make_parser
from marianne_stream.client.cli_errors import CliError
from marianne_stream.client.watched_job import EXIT_SEVERITY
from marianne_stream.common import process_exit
from marianne_stream.config.loading import (
    FILE_SETTINGS,
    describe_allowed,
    describe_default,
    option_name,
)
from marianne_stream.config.settings import ENV_PREFIX, Settings
from marianne_stream.errors import MarianneStreamError, SettingsError
from tests.support.error_classes import error_classes
from tests.support.markdown import REFERENCE, read_page, row, rows, rows_below, section

OPTIONS = set(Settings.model_fields) - FILE_SETTINGS

COMMANDS_PAGE = REFERENCE / "commands.md"

SERVER_VERBS = ("serve", "demo", "check", "notify-test", "token")

TERMINAL_VERBS = (
    *("jobs", "show", "runs", "conductor", "watch", "logs", "files", "events", "completion"),
)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_in_the_reference(name: str) -> None:
    default = describe_default(name)
    written = default if default == "none" or " " in default else f"`{default}`"
    cells = row(read_page(REFERENCE / "settings.md"), f"`{name}`")
    names = [f"`{option_name(name)}`", f"`{ENV_PREFIX}{name.upper()}`"]
    assert cells[1:4] == [*(names if name in OPTIONS else ["none"] * 2), written]
    assert cells[4] == describe_allowed(name)
    assert cells[5]


def test_reference_names_only_existing_settings() -> None:
    documented = re.findall(rf"`{ENV_PREFIX}(\w+)`", read_page(REFERENCE / "settings.md"))
    assert {name.lower() for name in documented} == OPTIONS


def test_reference_names_exactly_the_commands() -> None:
    commands = rows_below(read_page(COMMANDS_PAGE), "command")
    assert [cells[0] for cells in commands] == [f"[`{name}`](#{name})" for name in COMMANDS]
    assert all(section(COMMANDS_PAGE, name).strip() for name in COMMANDS)


@pytest.mark.parametrize("verb", SERVER_VERBS)
def test_every_server_option_is_in_the_reference(verb: str) -> None:
    text = section(COMMANDS_PAGE, verb)
    prose = " ".join(text.split())
    options = command_options(verb)
    settings = {name for name, action in options.items() if action.dest in Settings.model_fields}
    shared = rows_below(section(COMMANDS_PAGE, "Options of the server commands"), "option")
    documented = {cells[0] for cells in shared + rows_below(text, "option")}
    assert documented == options.keys() - settings
    taken = {options[name].dest for name in settings}
    sentence = re.search(r"Takes the settings ([^.]+)\.", prose)
    if "Takes no settings as options." in prose:
        assert taken == set()
    elif sentence is None:
        assert "Takes all settings." in prose
        assert taken == OPTIONS
    else:
        assert set(re.findall(r"`(\w+)`", sentence[1])) == taken


def command_options(verb: str) -> dict[str, Action]:
    """Return the options and arguments of a terminal command, as the reference writes them."""
    actions = [*make_parser(verb, COMMANDS[verb].load())._actions]
    for parent in actions[:]:
        if isinstance(parent, _SubParsersAction):
            actions += [action for parser in parent.choices.values() for action in parser._actions]
    shown = [action for action in actions if action.help != SUPPRESS and action.dest != "help"]
    return {format_option(action): action for action in shown}


def format_option(action: Action) -> str:
    """Return each form of an option with its value, or the name of an argument."""
    value = (
        "" if action.nargs == 0 or action.choices else f" {action.metavar or action.dest.upper()}"
    )
    forms = [f"`{option}{value}`" for option in action.option_strings]
    return ", ".join(forms) or f"`{action.metavar or action.dest}`"


@pytest.mark.parametrize("verb", TERMINAL_VERBS)
def test_every_terminal_option_is_in_the_reference(verb: str) -> None:
    shared = rows(section(COMMANDS_PAGE, "Options of the client commands"))
    own = rows(section(COMMANDS_PAGE, verb))
    documented = {cells[0]: cells for cells in (own if verb == "completion" else own + shared)}
    options = command_options(verb)
    assert documented.keys() == options.keys()
    for name, action in options.items():
        choices = ", ".join(action.choices or ())
        assert choices in " | ".join(documented[name]), name
        assert action.help


def test_every_server_exit_code_is_in_the_reference() -> None:
    text = section(COMMANDS_PAGE, "Exit codes of the server commands")
    errors = {MarianneStreamError.exit_code, SettingsError.exit_code}
    signals = {process_exit.EXIT_SIGINT, process_exit.EXIT_SIGPIPE}
    assert {int(cells[0]) for cells in rows(text)} == {0} | errors | signals


def test_every_terminal_exit_code_is_in_the_reference() -> None:
    documented = {
        int(cells[0]) for cells in rows(section(COMMANDS_PAGE, "Exit codes of the client commands"))
    }
    signals = {process_exit.EXIT_SIGINT, process_exit.EXIT_SIGTERM, process_exit.EXIT_SIGPIPE}
    errors = {error.exit_code for error in error_classes(CliError)}
    assert documented == set(EXIT_SEVERITY) | errors | signals


def test_every_terminal_variable_is_in_the_reference() -> None:
    documented = set(re.findall(r"MARIANNE_STREAM_\w+", read_page(COMMANDS_PAGE)))
    assert documented == {
        client_command.URL_ENV,
        client_command.TOKEN_ENV,
        client_command.TOKEN_FILE_ENV,
        client_command.DATA_DIR_ENV,
    }
