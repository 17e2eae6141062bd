"""`completion`: print a completion script for a shell."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter

from argcomplete.shell_integration import shellcode

from marianne_stream.cli.commands import PROGRAM

SHELLS = ("bash", "zsh", "fish")

EPILOG = """\
Add the line of your shell to ~/.bashrc, ~/.zshrc (after compinit) or
~/.config/fish/config.fish:
  eval "$(marianne-stream completion bash)"
  eval "$(marianne-stream completion zsh)"
  marianne-stream completion fish | source"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options to a parser."""
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.description = "Print a shell script that completes commands, options and job ids."
    parser.epilog = EPILOG
    parser.add_argument("shell", choices=SHELLS, help="Name of the shell.")


def run(options: Namespace) -> int:
    """Print the script."""
    print(shellcode([PROGRAM], shell=options.shell))
    return 0
