"""`completion`: prints what a shell needs to complete verbs, options and jobs."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter

from argcomplete.shell_integration import shellcode

from marianne_stream.cli.commands import PROGRAM

SHELLS = ("bash", "zsh", "fish")

EPILOG = """\
To be read at the start of the shell, in ~/.bashrc, ~/.zshrc (behind compinit)
or ~/.config/fish/config.fish:
  eval "$(marianne-stream completion bash)"
  eval "$(marianne-stream completion zsh)"
  marianne-stream completion fish | source"""


def add_arguments(parser: ArgumentParser) -> None:
    """Gives a parser the verb's options."""
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.description = "Prints what a shell needs to complete verbs, options and jobs."
    parser.epilog = EPILOG
    parser.add_argument("shell", choices=SHELLS, help="Which shell.")


def run(options: Namespace) -> int:
    """Prints it."""
    print(shellcode([PROGRAM], shell=options.shell))
    return 0
