"""Parse, call, print, exit code.

Exit codes: 0 done; 1 a problem was found; 2 the command or the configuration is wrong; 3 the daemon does not answer;
4 refused, nothing was changed. Scripts poll these commands, so nothing heavy is imported before it is needed.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from edged import __version__
from edged.base.errors import EdgedError
from edged.cli import archive, cameras, daemon, holds, law, ledger, outages, prove, retention, status
from edged.cli.client import DaemonAbsent, RequestRefused
from edged.cli.show import complain

GROUPS = (daemon, cameras, status, outages, holds, retention, law, ledger, prove, archive)

EPILOG = """\
exit codes: 0 done, 1 a problem was found, 2 command or configuration wrong, 3 daemon does not answer, 4 refused.

Commands that ask the running daemon find it at --socket, else $EDGED_SOCKET, else /run/edged/api.sock.
Every one of them prints JSON with --json.
"""


class _Commands(argparse._SubParsersAction):  # type: ignore[type-arg]
    """What a command is listed with also opens its own help, where it has no longer text."""

    def add_parser(self, name: str, **given: Any) -> argparse.ArgumentParser:
        if listed := given.get("help"):
            given.setdefault("description", f"{listed[0].upper()}{listed[1:]}.")
        parser: argparse.ArgumentParser = super().add_parser(name, **given)
        return parser


class _Parser(argparse.ArgumentParser):
    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.register("action", "parsers", _Commands)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = _Parser(
        prog="edged",
        description="Records cameras, keeps what the law wants kept, and runs the clocks when a feed is lost.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"edged {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for group in GROUPS:
        group.add_commands(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = build_parser().parse_args(argv)
    try:
        return int(arguments.call(arguments))
    except DaemonAbsent as error:
        complain(str(error))
        return 3
    except RequestRefused as error:
        complain(str(error))
        return 4
    except EdgedError as error:
        complain(str(error))
        return 2
    except BrokenPipeError:
        # `edged ... | head`: the reader has seen enough.
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        return 130
