"""edged prove: bundles that show what was kept of a camera-day, to be checked by others without this box."""

import argparse
from pathlib import Path

from edged.base.errors import EdgedError
from edged.cli.client import add_daemon_options, ask
from edged.cli.show import print_json


class CannotWrite(EdgedError):
    """The bundle cannot be written where it was asked for."""

    code = "CLI-021"


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    prove = commands.add_parser(
        "prove",
        help="show an inspector what was kept, without a network",
        description="A bundle holds records and proofs, no footage and no addresses.",
    )
    acts = prove.add_subparsers(metavar="ACT", required=True)
    day = acts.add_parser("day", help="write the proof of one camera-day into a folder")
    day.add_argument("--camera", required=True, metavar="CAMERA", help="the camera's id")
    day.add_argument("--date", required=True, metavar="YYYY-MM-DD", help="civil day at the site")
    day.add_argument("--stream", choices=("main", "sub"), default="main", help="default main")
    day.add_argument("--out", required=True, type=Path, metavar="DIR", help="a new or empty folder")
    day.set_defaults(call=_day)
    add_daemon_options(day)


def _day(arguments: argparse.Namespace) -> int:
    out: Path = arguments.out
    try:
        if out.exists() and any(out.iterdir()):
            raise CannotWrite(f"{out} is not empty", hint="name a new folder: bundles are not mixed")
        body = {"camera": arguments.camera, "date": arguments.date, "stream": arguments.stream}
        answer = ask(arguments, "POST", "/v1/proofs/day", body=body)
        out.mkdir(parents=True, exist_ok=True)
        for name, text in answer["files"].items():
            (out / Path(name).name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise CannotWrite(f"{out} cannot be written ({error.strerror})") from error
    if arguments.json:
        print_json({"out": str(out), "files": sorted(answer["files"])})
    else:
        print(f"{out}: check it with `python3 verify_retention.py {out} --files VOLUME --key PEM`")
        print("the script lies in the bundle; whoever doubts takes it, and the public key, from somewhere else")
    return 0
