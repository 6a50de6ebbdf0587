"""edged outages: lost feeds, their deadlines, and what was done about them."""

import argparse
import getpass
from typing import Any

from edged.cli.client import add_daemon_options, ask
from edged.cli.show import for_people, print_json, print_table

ADDRESSEES = {"repair-unit": "repair_unit", "superior-department": "superior_department"}


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    outages = commands.add_parser(
        "outages",
        help="lost feeds and their deadlines; enter reports, attendance and restoration",
        description="A report is met only when a named person at BOTH addressees has received it; the repair unit "
        "must be on site within its limit of receiving its report. Exit code 1: an outage is open.",
    )
    outages.set_defaults(call=_list, all=False)
    add_daemon_options(outages)
    acts = outages.add_subparsers(metavar="ACT")
    listing = acts.add_parser("list", help="open outages, or all with --all")
    listing.add_argument("--all", action="store_true", help="closed ones too")
    listing.set_defaults(call=_list)
    show = acts.add_parser("show", help="one outage with its history")
    show.add_argument("outage", metavar="OUTAGE")
    show.set_defaults(call=_show)
    report = acts.add_parser("report", help="a named person at an addressee has received the report")
    report.add_argument("outage", metavar="OUTAGE")
    report.add_argument("--to", required=True, choices=sorted(ADDRESSEES), help="the addressee")
    report.add_argument("--received-by", required=True, metavar="PERSON")
    report.add_argument("--at", metavar="TIME", help="when it was received, ISO 8601 with offset; default: now")
    report.set_defaults(call=_report)
    attended = acts.add_parser("attended", help="the repair unit is on site")
    restored = acts.add_parser("restored", help="the site records that the feed is good again")
    for act, name in ((attended, "attended"), (restored, "restored")):
        act.add_argument("outage", metavar="OUTAGE")
        act.add_argument("--by", default=getpass.getuser(), metavar="PERSON", help="who was there; default: you")
        act.set_defaults(call=_mark, act=name)
    attended.add_argument("--at", metavar="TIME", help="when they arrived, ISO 8601 with offset; default: now")
    for act in (listing, show, report, attended, restored):
        add_daemon_options(act, inner=True)


def _list(arguments: argparse.Namespace) -> int:
    answer = ask(arguments, "GET", "/v1/outages", query={"all": "1" if arguments.all else None})
    outages: list[dict[str, Any]] = answer["outages"]
    still_open = [outage for outage in outages if outage["closed"] is None]
    if arguments.json:
        print_json(answer)
        return 1 if still_open else 0
    if not outages:
        print("no outage")
        return 0
    print_table(
        ("OUTAGE", "CAMERA", "STATE", "CAUSE", "SINCE", "REPORT", "ATTENDANCE"),
        [
            (o["id"], o["camera"], o["state"], o["cause"], o["t0"], _duty(o["report"]), _duty(o["attendance"]))
            for o in outages
        ],
    )
    for outage in still_open:
        print(f"{outage['id']}: report due by {outage['report']['due']} ({outage['report']['basis']})")
    return 1 if still_open else 0


def _duty(duty: dict[str, Any]) -> str:
    """One deadline in a word or two."""
    left = duty["seconds_left"]
    match duty["standing"]:
        case "pending":
            return f"in {for_people(left)}"
        case "overdue":
            return f"OVERDUE by {for_people(None if left is None else -left)}"
        case "waiting":
            return "not yet running"
        case "late":
            return "met late"
        case standing:
            return str(standing)


def _show(arguments: argparse.Namespace) -> int:
    print_json(ask(arguments, "GET", f"/v1/outages/{arguments.outage}"))
    return 0


def _report(arguments: argparse.Namespace) -> int:
    body = {"to": ADDRESSEES[arguments.to], "received_by": arguments.received_by, "at": arguments.at}
    return _print_one(arguments, ask(arguments, "POST", f"/v1/outages/{arguments.outage}/report", body=body))


def _mark(arguments: argparse.Namespace) -> int:
    body = {"by": arguments.by, "at": getattr(arguments, "at", None)}
    return _print_one(arguments, ask(arguments, "POST", f"/v1/outages/{arguments.outage}/{arguments.act}", body=body))


def _print_one(arguments: argparse.Namespace, outage: dict[str, Any]) -> int:
    if arguments.json:
        print_json(outage)
    else:
        print(f"{outage['id']}: {outage['state']}; attendance {_duty(outage['attendance'])}")
    return 0
