"""`files JOB PATH`: the bytes of a file."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.cli_errors import CliError, ServerUnreachableError
from marianne_stream.client.output import Output
from marianne_stream.wire.log_lines import LINE_LIMIT_BYTES, render_line


async def print_file(client: ApiClient, output: Output, path: str) -> int:
    """Write a file to standard output, and return the exit code. Cancelling is safe.

    `path` is that of its endpoint. A terminal gets text only, sanitized as the lines of a log.

    Raises:
        CliError: the file is not a text, and the output is a terminal.
        MarianneStreamError: raised by `read_file`.
    """
    rest = b""
    async with aclosing(read_file(client, path)) as pieces:
        async for piece in pieces:
            if not output.is_terminal:
                output.write_bytes(piece)
                continue
            if b"\0" in piece:
                raise CliError("the file is not a text: redirect the output to a file or a pipe")
            *lines, rest = (rest + piece).split(b"\n")
            if len(rest) > LINE_LIMIT_BYTES:
                lines, rest = [*lines, rest], b""
            write_lines(output, lines)
    write_lines(output, [rest] if rest else [])
    return 0


def write_lines(output: Output, lines: list[bytes]) -> None:
    """Write lines to a terminal; raises BrokenPipeError as `Output.write` does."""
    output.write(output.sanitize(render_line(line).decode(errors="replace")) for line in lines)


async def read_file(client: ApiClient, path: str) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of a file, and resume after a lost connection. Cancelling is safe.

    Raises:
        CliError: the connection was lost, and the file has changed since.
        MarianneStreamError: the server cannot be reached, or its response is an error.
    """
    retrier, etag, received_bytes = client.make_retrier(), "", 0
    while True:
        # A compressed response has no ranges of the file (RFC 9110 section 14.1.2).
        headers = {"Accept-Encoding": "identity"}
        if received_bytes:
            headers |= {"Range": f"bytes={received_bytes}-", "If-Range": etag}
        try:
            async with client.open(path, {}, headers=headers) as response:
                start = response.headers.get("Content-Range", "").partition("-")[0]
                is_rest = response.status == 206 and start == f"bytes {received_bytes}"
                is_same = response.headers.get("ETag", "") == etag
                if received_bytes and not (is_rest and is_same):
                    raise CliError("the connection was lost, and the file has changed since")
                etag = response.headers.get("ETag", "")
                async for piece in response.content.iter_any():
                    retrier.on_connected()
                    retrier.reset_delay()
                    received_bytes += len(piece)
                    yield piece
                return
        except ServerUnreachableError as error:
            await retrier.wait(error)
