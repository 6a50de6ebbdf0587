"""edged outages: lost feeds, their deadlines, and what was done about them."""

import argparse
from typing import Any

from edged.cli.client import add_daemon_options, ask, below, person
from edged.cli.show import for_people, print_json, print_table, time_for_people

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
    show.add_argument("outage", metavar="OUTAGE", help="the outage's id")
    show.set_defaults(call=_show)
    report = acts.add_parser("report", help="a named person at an addressee has received the report")
    report.add_argument("outage", metavar="OUTAGE", help="the outage's id")
    report.add_argument("--to", required=True, choices=sorted(ADDRESSEES), help="the addressee")
    report.add_argument("--received-by", required=True, metavar="PERSON", help="who received it there")
    report.add_argument("--at", metavar="TIME", help="when it was received, ISO 8601 with offset; default: now")
    report.set_defaults(call=_report)
    attended = acts.add_parser("attended", help="the repair unit is on site")
    restored = acts.add_parser("restored", help="the site records that the feed is good again")
    for act, name in ((attended, "attended"), (restored, "restored")):
        act.add_argument("outage", metavar="OUTAGE", help="the outage's id")
        act.add_argument("--by", metavar="PERSON", help="who was there; default: you")
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
    print_table(
        ("OUTAGE", "CAMERA", "STATE", "CAUSE", "SINCE", "REPORT", "ATTENDANCE"),
        [
            (
                o["id"],
                o["camera"],
                o["state"],
                o["cause"],
                time_for_people(o["t0"]),
                _duty(o["report"]),
                _duty(o["attendance"]),
            )
            for o in outages
        ],
        empty="no outage" if arguments.all else "no outage is open",
    )
    for outage in still_open:
        print(f"{outage['id']}: {_owed(outage)}")
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
    outage = ask(arguments, "GET", below("/v1/outages/{}", arguments.outage))
    if arguments.json:
        print_json(outage)
        return 0
    print(f"{outage['id']}: camera {outage['camera']}, {outage['state']}, cause {outage['cause']}")
    print(f"  last good frame {time_for_people(outage['t0'])}, opened {time_for_people(outage['opened'])}")
    if outage["good_since"] is not None and outage["closed"] is None:
        print(f"  good again since {time_for_people(outage['good_since'])}, to stay so for a while")
    if outage["restored"] is not None:
        by = f" by {outage['restored_by']}" if outage["restored_by"] else ""
        print(f"  restored {time_for_people(outage['restored'])}{by}, closed {time_for_people(outage['closed'])}")
    duties = [(f"report to {_addressee(to, duty)}", duty) for to, duty in outage["report"]["to"].items()]
    print_table(
        ("DUTY", "DUE", "STANDS", "DONE", "BY", "BECAUSE OF"),
        [
            (name, time_for_people(d["due"]), _duty(d), time_for_people(d["met"]), d["by"], d["basis"])
            for name, d in [*duties, ("attendance", outage["attendance"])]
        ],
        empty="",
    )
    print_table(
        ("AT", "EVENT", "BY", "DETAIL"),
        [(time_for_people(s["at"]), s["event"].replace("_", " "), s["by"], s["detail"]) for s in outage["history"]],
        empty="nothing has been entered",
    )
    return 0


def _owed(outage: dict[str, Any]) -> str:
    """What people have to do next about an open outage, until when, and by which article."""
    if outage["state"] == "restored":
        return "the feed is back; it is closed once that has been good for a while"
    late = [_addressee(to, duty) for to, duty in outage["report"]["to"].items() if duty["met"] is None]
    if late:
        due = f"{time_for_people(outage['report']['due'])} ({outage['report']['basis']})"
        return f"to be reported to {' and '.join(late)} by {due}"
    attendance = outage["attendance"]
    if attendance["met"] is None and attendance["due"] is not None:
        return f"the repair unit is to be on site by {time_for_people(attendance['due'])} ({attendance['basis']})"
    return "reported and attended; it ends once the feed is good again"


def _addressee(to: str, duty: dict[str, Any]) -> str:
    return f"the {to.replace('_', ' ')} ({duty['name']})"


def _report(arguments: argparse.Namespace) -> int:
    body = {"to": ADDRESSEES[arguments.to], "received_by": arguments.received_by, "at": arguments.at}
    return _print_one(arguments, ask(arguments, "POST", below("/v1/outages/{}/report", arguments.outage), body=body))


def _mark(arguments: argparse.Namespace) -> int:
    body = {"by": person(arguments), "at": getattr(arguments, "at", None)}
    path = below(f"/v1/outages/{{}}/{arguments.act}", arguments.outage)
    return _print_one(arguments, ask(arguments, "POST", path, body=body))


def _print_one(arguments: argparse.Namespace, outage: dict[str, Any]) -> int:
    if arguments.json:
        print_json(outage)
    else:
        print(f"{outage['id']}: {outage['state']}; attendance {_duty(outage['attendance'])}")
    return 0
