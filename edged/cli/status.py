"""edged status: is everything as it should be?"""

import argparse
from typing import Any

from edged.cli.client import add_daemon_options, ask
from edged.cli.show import bytes_for_people, print_json, print_table


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    status = commands.add_parser(
        "status",
        help="how the box is doing",
        description="Exit code 0: all adopted cameras are recorded and nothing is overdue; 1: something is wrong, "
        "and it is said what.",
    )
    add_daemon_options(status)
    status.set_defaults(call=_status)


def _status(arguments: argparse.Namespace) -> int:
    health = ask(arguments, "GET", "/v1/status")
    if arguments.json:
        print_json(health)
        return 0 if health["ok"] else 1
    print(
        f"recording {health['cameras_recording']} of {health['cameras']} cameras, {health['outages_open']} outages open"
    )
    print_table(
        ("VOLUME", "STATE", "FREE", "SIZE"),
        [
            (
                v["volume"],
                v["reason"] or _state(v),
                bytes_for_people(v["free_bytes"]),
                bytes_for_people(v["size_bytes"]),
            )
            for v in health["volumes"]
        ],
    )
    for problem in health["problems"]:
        print(f"! {problem.replace('_', ' ')}")
    for camera in health["cameras_not_recording"]:
        print(f"! {camera} is not being recorded")
    return 0 if health["ok"] else 1


def _state(volume: Any) -> str:
    if volume["cameras_stopped"]:
        return f"full, {volume['cameras_stopped']} stopped"
    return "good" if volume["online"] else "offline"
