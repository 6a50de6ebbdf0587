"""edged status: is everything as it should be?"""

import argparse
from typing import Any

from edged.cli.client import add_daemon_options, ask
from edged.cli.show import bytes_for_people, count, print_json, print_table, time_for_people

# The words of the health (edged.report.health.problems) for people.
SENTENCES = {
    "recorder_offline": "the recorder does not answer: see its log; what it still records is indexed afterwards",
    "outage_open": "a feed is lost: `edged outages` shows the deadlines",
    "outage_overdue": "{overdue} outages have passed a deadline: `edged outages`",
    "archive_incomplete": "the index was lost or is old; nothing goes before every volume is read: `edged retention`",
    "disk_full": "volume {stopped} is full of footage that must be kept; cameras are stopped: `edged retention plan`",
    "volume_offline": "volume {offline} is not written to",
    "disk_too_small": "{small}, of footage that must be kept: `edged retention plan`",
    "footage_altered": "{altered} segments are not what was recorded: `edged archive scrub`",
    "hold_reminder": "{holds} is to be decided about: release it, or extend it (`edged holds`)",
    "index_full": "the disk of the index is full: nothing is indexed, held or deleted until there is room",
    "ledger_behind": "the copy of the ledger on volume {copies} does not follow: `edged ledger`",
    "ledger_rewritten": "the ledger contradicts a head that this box has signed: `edged ledger verify`",
    "retention_clock_untrusted": "the retention clock is not trusted; nothing is deleted: `edged retention` says why",
}


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
    cameras, outages = count(health["cameras"], "camera"), count(health["outages_open"], "outage")
    print(f"recording {health['cameras_recording']} of {cameras}, {outages} open")
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
        empty="no volume is configured",
    )
    for problem in health["problems"]:
        print(f"! {sentence(problem, health)}")
    for camera in health["cameras_not_recording"]:
        print(f"! {camera} is not being recorded")
    return 0 if health["ok"] else 1


def sentence(problem: str, health: dict[str, Any]) -> str:
    """What a word of the health means, and which command says more."""
    volumes = health["volumes"]
    names = {
        "overdue": str(health["outages_overdue"]),
        "stopped": ", ".join(v["volume"] for v in volumes if v["cameras_stopped"]),
        "offline": ", ".join(v["volume"] for v in volumes if not v["online"]),
        "altered": str(health["footage_altered"]),
        "holds": ", ".join(health["hold_reminders"]),
        "copies": ", ".join(health["ledger_behind"]),
        "small": ", ".join(
            f"volume {each['volume']} will be full on {time_for_people(each['full'])}"
            for each in health["disks_too_small"]
        ),
    }
    return SENTENCES[problem].format(**names) if problem in SENTENCES else problem.replace("_", " ")


def _state(volume: Any) -> str:
    if volume["cameras_stopped"]:
        return f"full, {count(volume['cameras_stopped'], 'camera')} stopped"
    return "good" if volume["online"] else "offline"
