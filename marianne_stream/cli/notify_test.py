"""`notify-test`: send a test message to the targets of the rules."""

import asyncio
import socket
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Mapping

from marianne_stream.cli.commands import PROGRAM
from marianne_stream.cli.settings_options import add_settings_options, make_settings, print_line
from marianne_stream.common.daemon_thread import DaemonThread
from marianne_stream.errors import SettingsError
from marianne_stream.notify.delivery import SEND_TIMEOUT_S, Target
from marianne_stream.notify.notifications import open_targets
from marianne_stream.notify.rules import Rule, rules_by_name, target_digest

EPILOG = f"""\
Exit codes: 0 all targets have accepted it, 1 one has not, 2 invalid settings.

Examples:
  {PROGRAM} notify-test --config ~/marianne-stream.toml
  {PROGRAM} notify-test --config ~/marianne-stream.toml --rule 2
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options to a parser."""
    parser.description = (
        "Send a test message to each target of the rules in the settings file. The\n"
        "command needs no server, and may run beside one."
    )
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    add_settings_options(parser, ())
    parser.add_argument("--rule", help="Name or number of one rule (default: all rules).")


def run(options: Namespace) -> int:
    """Send the messages.

    Raises:
        SettingsError: there is no such rule, or a target cannot be used.
    """
    rules = make_settings({"config": options.config}).notifications
    named = rules_by_name(rules)
    chosen = {
        name: rule
        for number, (name, rule) in enumerate(named.items(), 1)
        if options.rule in (None, name, str(number))
    }
    if not chosen:
        raise SettingsError(
            f"no rule {options.rule}; rules: {', '.join(named)}"
            if rules
            else "no rules: set notifications"
        )
    return asyncio.run(send_tests(chosen, open_targets(chosen)))


async def send_tests(rules: Mapping[str, Rule], targets: Mapping[str, Target]) -> int:
    """Send a message to each target of each rule, print the results, and return the exit code."""
    failures = 0
    for name, rule in rules.items():
        body = f"This is a test of the rule {name} on {socket.gethostname()}."
        for url in rule.targets:
            target = targets[target_digest(url)]
            is_sent = await send_within_time(target, body)
            print_line(f"rule {name}: {target.schema} {'sent' if is_sent else 'failed'}")
            failures += not is_sent
    return 1 if failures else 0


async def send_within_time(target: Target, body: str) -> bool:
    """Send a test message, and return whether it was accepted in time."""
    thread = DaemonThread(f"notify {target.schema}")
    call = asyncio.wrap_future(thread.submit(lambda: target.send("Test of marianne-stream", body)))
    # It ends after the message; the process does not wait for it.
    thread.close()
    done, _ = await asyncio.wait({call}, timeout=SEND_TIMEOUT_S)
    return bool(done) and call.result()
