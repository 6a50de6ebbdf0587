"""edged archive: what the box remembers, rebuilt from what the volumes hold."""

import argparse
import dataclasses

from edged.base.errors import Refused
from edged.cli.daemon import config_option
from edged.cli.show import bytes_for_people, complain, print_json, print_table


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    archive = commands.add_parser("archive", help="the index of what is on the disks: rebuild it")
    acts = archive.add_subparsers(metavar="ACT", required=True)
    rebuild = acts.add_parser(
        "rebuild",
        help="make a lost or damaged index anew from the volumes; stop the daemon first",
        description="Ledger, holds, journals and files of every volume make a new index. Nothing is deleted, and the "
        "old index stays beside it as index.sqlite3.before-TIME. Exit code 0: complete; 1: something is missing, and "
        "is said; 4: refused, nothing was changed.",
    )
    config_option(rebuild)
    rebuild.add_argument("--dry-run", action="store_true", help="only say what was found and what would be missing")
    rebuild.add_argument("--json", action="store_true", help="print JSON, for scripts")
    rebuild.set_defaults(call=_rebuild)


def _rebuild(arguments: argparse.Namespace) -> int:
    from edged.app.rebuild import plan_rebuild, rebuild
    from edged.app.run import AlreadyRunning
    from edged.base.clock import SystemClock
    from edged.base.log import set_up_logging
    from edged.config import load_config

    config = load_config(arguments.config)
    set_up_logging("warning")
    try:
        found, done = (plan_rebuild(config), None) if arguments.dry_run else rebuild(config, SystemClock())
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
    )
    print(f"the ledger comes from volume {found.source.volume}" if found.source else "no copy of the ledger was found")
    if done is not None:
        print(f"rebuilt: {done.segments} segments, {done.holds} holds in force, {done.entries} ledger entries")
        print(f"{done.deleted} segments are on record as lawfully deleted; the old index is {done.aside or 'gone'}")
    for problem in problems:
        print(f"! {problem}")
    return 1 if problems else 0
