"""`health`: tell whether a server answers, for the health check of a container."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter

from marianne_stream.cli import client_command
from marianne_stream.client import runner
from marianne_stream.client.address import ServerAddress
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import HealthBody
from marianne_stream.client.messages import StderrReporter
from marianne_stream.client.retry import RetryPolicy
from marianne_stream.client.sanitize import strip_to_one_line

# A server that takes longer hangs: it reads nothing for this answer.
TIMEOUT_S = 5.0

EXAMPLES = """\
marianne-stream health
marianne-stream health --url unix:/run/marianne-stream/http.sock"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options to a parser."""
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.description = (
        "Tell whether a server answers. It needs no token, and does not ask whether the\n"
        "conductor answers."
    )
    parser.epilog = client_command.format_examples(EXAMPLES)
    client_command.add_url_argument(parser)


def run(options: Namespace) -> int:
    """Ask the server once."""
    return runner.run(ask(client_command.find_address(options.url)))


async def ask(address: ServerAddress) -> int:
    """Ask a server, and print that it answers.

    Raises:
        ServerUnreachableError: the server does not answer within TIMEOUT_S.
        CliError: the answer is not that of a marianne-stream.
    """
    async with ApiClient(
        address, retry_policy=RetryPolicy(0.0, 0.0), reporter=StderrReporter()
    ) as client:
        health = await client.get_json("/health", {}, HealthBody, timeout_s=TIMEOUT_S)
    print(f"{address.text} {strip_to_one_line(health.status)}")
    return 0
