"""edged archive: what the box remembers, rebuilt from what the volumes hold."""

import argparse
import dataclasses
from pathlib import Path

from edged.base.errors import Refused
from edged.cli.client import add_daemon_options, ask
from edged.cli.daemon import config_option
from edged.cli.show import bytes_for_people, complain, count, print_json, print_table, time_for_people

READ_SECONDS = 3600.0  # a camera-day is some forty gigabytes


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    archive = commands.add_parser("archive", help="the index of what is on the disks: rebuild it, read it again")
    acts = archive.add_subparsers(metavar="ACT", required=True)
    rebuild = acts.add_parser(
        "rebuild",
        help="make a lost or damaged index anew from the volumes; stop the daemon first",
        description="Ledger, holds, journals and files of every volume make a new index. Nothing is deleted, and the "
        "old index stays beside it as index.sqlite3.before-TIME. Exit code 0: complete; 1: something is missing, and "
        "is said; 4: refused, nothing was changed. As root it goes on as the owner of the state folder. "
        "What was entered about outages stays in the ledger; the list of past outages begins anew.",
    )
    config_option(rebuild)
    rebuild.add_argument("--dry-run", action="store_true", help="only say what was found and what would be missing")
    rebuild.add_argument(
        "--old-key",
        type=Path,
        action="append",
        default=[],
        metavar="PEM",
        help="where the ledger's key was lost with the state disk: the public key that signed it, kept elsewhere",
    )
    rebuild.add_argument("--json", action="store_true", help="print JSON, for scripts")
    rebuild.set_defaults(call=_rebuild)
    scrub = acts.add_parser(
        "scrub",
        help="how far everything was read again, and what is not as it was recorded; exit code 1 where something is",
        description="The daemon reads every recording again within retention.scrub_within and compares it with its "
        "hash. Name a segment, or a camera and a day, to have them read now.",
    )
    scrub.add_argument("--segment", metavar="SEGMENT", help="a segment id, as `retention segments` has")
    scrub.add_argument("--camera", metavar="CAMERA", help="with --date: the camera's id")
    scrub.add_argument("--date", metavar="YYYY-MM-DD", help="with --camera: civil day at the site")
    scrub.set_defaults(call=_scrub)
    add_daemon_options(scrub)


def _scrub(arguments: argparse.Namespace) -> int:
    if (arguments.camera is None) != (arguments.date is None) or (arguments.segment and arguments.camera):
        complain("name a --segment, or a --camera with its --date, or nothing to see how far it is")
        return 2
    if arguments.segment or arguments.camera:
        body = {"segment": arguments.segment, "camera": arguments.camera, "date": arguments.date}
        found = ask(arguments, "POST", "/v1/scrub", body=body, timeout=READ_SECONDS)["found"]
        bad = {segment: what for segment, what in found.items() if what != "sound"}
        if arguments.json:
            print_json({"found": found})
        else:
            print(f"{len(found)} segments read, {len(found) - len(bad)} are what was recorded")
            print_table(("SEGMENT", "FOUND"), sorted(bad.items()), empty="nothing is altered, unreadable or missing")
        return 1 if bad else 0
    state = ask(arguments, "GET", "/v1/scrub")
    if arguments.json:
        print_json(state)
    else:
        print(f"every recording is read again within {state['within_days']} days")
        print_table(
            ("VOLUME", "SEGMENTS", "SIZE", "ROUNDS", "LAST ENDED"),
            [
                (v["volume"], v["segments"], bytes_for_people(v["bytes"]), v["rounds"], time_for_people(v["ended"]))
                for v in state["volumes"]
            ],
            empty="no volume was read yet",
        )
        for one in state["findings"]:
            print(
                f"! {one['segment']} on volume {one['volume']} is {one['what']} (found {time_for_people(one['found'])})"
            )
    return 1 if state["findings"] else 0


def _rebuild(arguments: argparse.Namespace) -> int:
    from edged.app.rebuild import plan_rebuild, rebuild
    from edged.app.run import AlreadyRunning
    from edged.base.clock import SystemClock
    from edged.base.log import set_up_logging
    from edged.config import load_config

    config = load_config(arguments.config)
    set_up_logging("warning")
    try:
        found, done = (
            (plan_rebuild(config), None) if arguments.dry_run else rebuild(config, SystemClock(), arguments.old_key)
        )
    except AlreadyRunning as error:
        complain(f"the daemon runs, and it rebuilds by itself what it has lost; stop it first ({error.what})")
        return 4
    except Refused as error:
        complain(str(error))
        return 4
    problems = found.missing if done is None else [*found.missing, *done.problems]
    if arguments.json:
        plan = {
            "index": found.index,
            "why": found.index_why,
            "volumes": [dataclasses.asdict(each) for each in found.volumes],
            "ledger_from": found.source.volume if found.source else None,
        }
        print_json({"found": plan, "rebuilt": None if done is None else dataclasses.asdict(done), "missing": problems})
        return 1 if problems else 0
    print(f"the index is {found.index}{f': {found.index_why}' if found.index_why else ''}")
    print_table(
        ("VOLUME", "SEGMENTS", "SIZE", "IN JOURNALS", "HOLDS", "LEDGER", "SIGNED"),
        [
            (v.volume, v.segments, bytes_for_people(v.bytes), v.journalled, len(v.holds), v.entries, v.signed)
            for v in found.volumes
        ],
        empty="no volume is configured",
    )
    print(f"the ledger comes from volume {found.source.volume}" if found.source else "no copy of the ledger was found")
    if done is not None:
        segments, holds = count(done.segments, "segment"), count(done.holds, "hold")
        print(f"rebuilt: {segments}, {holds} in force, {done.entries} ledger entries")
        print(f"on record as lawfully deleted: {done.deleted}; the old index is {done.aside or 'gone'}")
    for problem in problems:
        print(f"! {problem}")
    return 1 if problems else 0
