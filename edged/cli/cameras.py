"""edged discover, edged cameras: which cameras there are, and which are recorded."""

import argparse
from pathlib import Path
from typing import Any

from edged.cli.client import add_daemon_options, ask, below, person
from edged.cli.show import for_people, print_json, print_table, time_for_people

NO_CAMERA = "no camera is known: `edged discover` looks for some, or name one in the configuration"


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    discover = commands.add_parser(
        "discover",
        help="look for cameras now",
        description="Asks the daemon for one round of discovery at once. With --config it looks by itself, without a "
        "daemon, and changes nothing.",
    )
    add_daemon_options(discover)
    discover.add_argument("--config", type=Path, metavar="FILE", help="look without a daemon, as this file says")
    discover.set_defaults(call=_discover)

    cameras = commands.add_parser("cameras", help="list cameras; adopt or remove one")
    acts = cameras.add_subparsers(metavar="ACT")
    cameras.set_defaults(call=_list, addresses=False)
    add_daemon_options(cameras)
    listing = acts.add_parser("list", help="all cameras of the roster")
    listing.add_argument(
        "--addresses", action="store_true", help="which camera an id is: its address and model, which are confidential"
    )
    listing.set_defaults(call=_list)
    adopt = acts.add_parser("adopt", help="record a found camera from now on")
    remove = acts.add_parser(
        "remove", help="stop recording a camera; its footage keeps its floor. Refused while it is held"
    )
    for act, name in ((adopt, "adopt"), (remove, "remove")):
        act.add_argument("camera", metavar="CAMERA", help="the camera's id")
        act.add_argument("--by", metavar="PERSON", help="who decides; default: you")
        act.set_defaults(call=_change, act=name)
    coverage = acts.add_parser("coverage", help="what is recorded of a camera, and the gaps with their causes")
    coverage.add_argument("camera", metavar="CAMERA", help="the camera's id")
    coverage.add_argument("--from", dest="start", metavar="TIME", help="ISO 8601 with offset; default: its adoption")
    coverage.add_argument("--to", dest="end", metavar="TIME", help="ISO 8601 with offset; default: now")
    coverage.set_defaults(call=_coverage)
    for act in (listing, adopt, remove, coverage):
        add_daemon_options(act, inner=True)


def _discover(arguments: argparse.Namespace) -> int:
    found: list[dict[str, Any]]
    if arguments.config is not None:
        from edged.cli.look import look_around

        found = look_around(arguments.config)
    else:
        found = ask(arguments, "POST", "/v1/discover", body={})["found"]
    if arguments.json:
        print_json({"found": found})
    else:
        print_table(
            ("CAMERA", "STATE", "STREAMS", "CLOCK OFF BY", "PROBLEM"),
            [(f["camera"], f["state"], f["streams"], for_people(f["clock_offset_s"]), f["problem"]) for f in found],
            empty="no camera answers: see [discovery] interfaces and probe in the configuration",
        )
    return 0 if found else 1


def _list(arguments: argparse.Namespace) -> int:
    query = {"addresses": "1" if arguments.addresses else None}
    cameras = ask(arguments, "GET", "/v1/cameras", query=query)["cameras"]
    if arguments.json:
        print_json({"cameras": cameras})
        return 0
    if arguments.addresses:
        print_table(
            ("CAMERA", "NAME", "ROSTER", "ADDRESS", "MODEL"),
            [(c["camera"], c["name"], c["roster"], c["address"], c["model"]) for c in cameras],
            empty=NO_CAMERA,
        )
        return 0
    print_table(
        ("CAMERA", "NAME", "ROSTER", "FEED", "LAST STORED", "FLOOR", "CAUSE"),
        [
            (
                c["camera"],
                c["name"],
                c["roster"],
                c["state"],
                f"{for_people(c['committed_age_s'])} ago" if c["committed_age_s"] is not None else None,
                f"{c['floor_days']} d" if c["floor_days"] is not None else None,
                c["cause"],
            )
            for c in cameras
        ],
        empty=NO_CAMERA,
    )
    return 0


def _change(arguments: argparse.Namespace) -> int:
    answer = ask(
        arguments, "POST", below(f"/v1/cameras/{{}}/{arguments.act}", arguments.camera), body={"by": person(arguments)}
    )
    if arguments.json:
        print_json(answer)
    else:
        print(f"{arguments.camera}: {answer['roster']}")
    return 0


def _coverage(arguments: argparse.Namespace) -> int:
    answer = ask(
        arguments,
        "GET",
        below("/v1/cameras/{}/coverage", arguments.camera),
        query={"from": arguments.start, "to": arguments.end},
    )
    if arguments.json:
        print_json(answer)
        return 0
    print(f"{answer['camera']}: recorded {answer['recorded_ratio']:.3%} of {for_people(answer['window_s'])}")
    print_table(
        ("GAP FROM", "TO", "LASTED", "CAUSE"),
        [
            (time_for_people(g["from"]), time_for_people(g["to"]), for_people(g["seconds"]), g["cause"])
            for g in answer["gaps"]
        ],
        empty="no gap",
    )
    return 0
