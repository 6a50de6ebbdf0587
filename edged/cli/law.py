"""edged law: which articles apply and why, and whether a rule pack of the operator's own can be used."""

import argparse
from pathlib import Path
from typing import Any

from edged.cli.client import add_daemon_options, ask
from edged.cli.show import print_json, print_table

# As edged.law.entry.Topic; written out so that the command line starts without reading the law.
TOPICS = ("retention", "report", "attendance", "retrieval", "register", "filing", "removal", "forbidden")


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    law = commands.add_parser(
        "law",
        help="which articles apply to a camera, and why",
        description="edged applies stated rules, each with its article, rank and status. It is not legal advice.",
    )
    acts = law.add_subparsers(metavar="ACT", required=True)
    explain = acts.add_parser(
        "explain",
        help="the articles looked at for a camera, and the one that gives its floor",
        description="Every article about one topic, whether it applies to the camera and why, and its own words. "
        "Retention, report and attendance are what edged acts by; the other topics are for people to act by.",
    )
    explain.add_argument("--camera", required=True, metavar="CAMERA", help="the camera's id")
    explain.add_argument("--topic", choices=TOPICS, default=TOPICS[0], help=f"default {TOPICS[0]}")
    add_daemon_options(explain)
    explain.set_defaults(call=_explain)
    check = acts.add_parser("check", help="read a rule pack and say what is wrong with it; asks no daemon")
    check.add_argument("pack", type=Path, metavar="PACK.toml", help="the file, named after its jurisdiction")
    check.add_argument("--json", action="store_true", help="print JSON, for scripts")
    check.set_defaults(call=_check)


def _explain(arguments: argparse.Namespace) -> int:
    answer = ask(arguments, "GET", "/v1/law/explain", query={"camera": arguments.camera, "topic": arguments.topic})
    if arguments.json:
        print_json(answer)
        return 0
    designated = "".join(f", {name}" for name in answer["designations"])
    print(f"{answer['camera']}: {answer['jurisdiction']}, {answer['place']} place{designated}")
    if answer["topic"] == TOPICS[0]:
        _print_floor(answer)
    print_table(
        ("ENTRY", "RANK", "STATUS", "ANSWER", "WHY"),
        [(e["id"], e["rank"], e["status"], _answer(e), e["why"]) for e in answer["entries"]],
        empty=f"no article known here is about {answer['topic']}",
    )
    for entry in answer["entries"]:
        if entry["applies"]:
            print(f"{entry['id']}: \u201c{entry['text_zh']}\u201d" + (f" {entry['note']}" if entry["note"] else ""))
    for warning in answer["warnings"]:
        print(f"! {warning}")
    return 0


def _print_floor(answer: dict[str, Any]) -> None:
    print(f"floor: {answer['floor_days']} days, by {', '.join(answer['rules'])}")
    if answer["floor_days"] > answer["legal_days"]:
        print(
            f"the operator's own minimum; the law's is {answer['legal_days']} days, {', '.join(answer['legal_rules'])}"
        )
    after = f"after {answer['ceiling_days']} days and a grace of {answer['grace_days']}"
    if answer["ceiling_rule"] is not None:
        print(f"to be deleted {after}, by {answer['ceiling_rule']}")
    elif answer["keep"] == "floor":
        print(f"deleted by age: a grace of {answer['grace_days']} days after the floor, by operator/keep-floor")
    else:
        print("kept past the floor until its volume needs space")


def _answer(entry: dict[str, object]) -> str:
    if entry["gives_floor"]:
        return "gives the floor"
    return "applies" if entry["applies"] else "does not"


def _check(arguments: argparse.Namespace) -> int:
    from edged.law.packs import BadPack, check_pack  # not needed by the commands that ask the daemon

    try:
        pack = check_pack(arguments.pack)
    except BadPack as error:
        if not arguments.json:
            raise
        print_json({"ok": False, "problems": error.what.splitlines()})
        return 2
    if arguments.json:
        print_json(
            {
                "ok": True,
                "problems": [],
                "jurisdiction": pack.jurisdiction,
                "entries": [entry.id for entry in pack.entries],
            }
        )
        return 0
    print(f"{arguments.pack}: good; jurisdiction {pack.jurisdiction}, {len(pack.entries)} entries")
    print_table(
        ("ENTRY", "KIND", "RANK", "STATUS", "DEMANDS"),
        [(e.id, e.kind, e.instrument.rank, e.instrument.status, e.demand) for e in pack.entries],
        empty="it has no entry",
    )
    return 0
