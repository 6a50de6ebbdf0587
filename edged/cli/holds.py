"""edged holds: evidence that may not go before two people have released it."""

import argparse
from typing import Any

from edged.cli.client import add_daemon_options, ask, below, person
from edged.cli.show import count, print_json, print_table, time_for_people


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    holds = commands.add_parser(
        "holds",
        help="evidence holds: list, place, extend, release",
        description="A hold keeps footage of its cameras within its span, past and future, until two different "
        "people have released it. It works at once and never ends by itself: all that a reminder does is to remind.",
    )
    holds.set_defaults(call=_list, all=False)
    add_daemon_options(holds)
    acts = holds.add_subparsers(metavar="ACT")
    listing = acts.add_parser("list", help="holds in force, or all with --all")
    listing.add_argument("--all", action="store_true", help="released ones too")
    listing.set_defaults(call=_list)
    place = acts.add_parser("place", help="hold footage as evidence, at once")
    place.add_argument("cameras", nargs="+", metavar="CAMERA", help="camera ids")
    place.add_argument("--from", dest="start", required=True, metavar="TIME", help="ISO 8601 with offset")
    place.add_argument("--to", dest="end", metavar="TIME", help="ISO 8601 with offset; without it the hold stays open")
    place.add_argument("--case", required=True, help="case reference")
    place.add_argument("--authority", required=True, help="who asks for it")
    place.add_argument("--document", required=True, help="number of their document")
    remind = "a civil day at the site from which on people are reminded to decide about it; it stays in force"
    place.add_argument("--remind-on", metavar="YYYY-MM-DD", help=remind)
    place.set_defaults(call=_place)
    extend = acts.add_parser("extend", help="let a hold cover more, or remind later; it never covers less")
    extend.add_argument("hold", metavar="HOLD", help="the hold's id")
    extend.add_argument("--from", dest="start", metavar="TIME", help="an earlier start: ISO 8601 with offset")
    ends = extend.add_mutually_exclusive_group()
    ends.add_argument("--to", dest="end", metavar="TIME", help="a later end: ISO 8601 with offset")
    ends.add_argument("--open", action="store_true", help="no end any more")
    extend.add_argument("--camera", dest="cameras", action="append", metavar="CAMERA", help="one more; may be repeated")
    extend.add_argument("--remind-on", metavar="YYYY-MM-DD", help="another day of the reminder")
    extend.add_argument("--document", required=True, help="number of the document that asks for it")
    extend.set_defaults(call=_extend)
    release = acts.add_parser("release", help="release a hold; it takes two different people, one after the other")
    release.add_argument("hold", metavar="HOLD", help="the hold's id")
    release.set_defaults(call=_release)
    for act in (place, extend, release):
        act.add_argument("--by", metavar="PERSON", help="who does it; default: you")
    for act in (listing, place, extend, release):
        add_daemon_options(act, inner=True)


def _list(arguments: argparse.Namespace) -> int:
    answer = ask(arguments, "GET", "/v1/holds", query={"all": "1" if arguments.all else None})
    if arguments.json:
        print_json(answer)
        return 0
    print_table(
        ("HOLD", "CAMERAS", "FROM", "TO", "CASE", "PLACED BY", "STATE", "REMINDER", "EVIDENCE"),
        [
            (
                h["id"],
                ",".join(h["cameras"]),
                time_for_people(h["from"]),
                time_for_people(h["to"]) if h["to"] else "open",
                h["case"],
                h["placed_by"],
                _state(h),
                f"{h['remind_on']}{' !' if h['reminds'] else ''}" if h["remind_on"] else None,
                h["evidence"],
            )
            for h in answer["holds"]
        ],
        empty="no hold" if arguments.all else "no hold is in force",
    )
    for volume, why in answer["not_immutable"].items():
        print(f"volume {volume}: held files are linked, but cannot be made immutable ({why})")
    for hold in answer["holds"]:
        if hold["reminds"]:
            print(f"! {hold['id']} is to be decided about since {hold['remind_on']}: release it, or extend it")
    return 0


def _state(hold: dict[str, Any]) -> str:
    if hold["state"] == "half released":
        return f"half released by {hold['first_release_by']}"
    return str(hold["state"])


def _place(arguments: argparse.Namespace) -> int:
    body = {
        "cameras": arguments.cameras,
        "from": arguments.start,
        "to": arguments.end,
        "case": arguments.case,
        "authority": arguments.authority,
        "document": arguments.document,
        "by": person(arguments),
        "remind_on": arguments.remind_on,
    }
    hold = ask(arguments, "POST", "/v1/holds", body=body)
    if arguments.json:
        print_json(hold)
    else:
        print(_held(hold))
    return 0


def _extend(arguments: argparse.Namespace) -> int:
    body = {
        "from": arguments.start,
        "to": arguments.end,
        "open": arguments.open,
        "cameras": arguments.cameras,
        "document": arguments.document,
        "by": person(arguments),
        "remind_on": arguments.remind_on,
    }
    hold = ask(arguments, "POST", below("/v1/holds/{}/extend", arguments.hold), body=body)
    if arguments.json:
        print_json(hold)
    else:
        print(_held(hold))
    return 0


def _release(arguments: argparse.Namespace) -> int:
    hold = ask(arguments, "POST", below("/v1/holds/{}/release", arguments.hold), body={"by": person(arguments)})
    if arguments.json:
        print_json(hold)
    else:
        wanted = "; a second, different person has to release it too" if hold["state"] == "half released" else ""
        print(f"{hold['id']}: {_state(hold)}{wanted}")
    return 0


def _held(hold: dict[str, Any]) -> str:
    least = "" if hold["complete"] else "at least "
    return f"{hold['id']}: {_state(hold)}, {least}{count(hold['segments'], 'segment')} so far"
