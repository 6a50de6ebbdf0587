"""`edged archive rebuild`: a new index from what the volumes hold, with the daemon stopped.

The way is the one that every start goes (ledger, holds, journals, comparison with the disks); here it is done alone,
with a plan before it and a check after it. Nothing is deleted: the old index stays beside the new one.
"""

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edged.app.inventory import Inventory, take_inventory
from edged.app.proving import begin_ledger, read_again
from edged.app.run import only_instance, own_folders
from edged.archive.database import Database
from edged.archive.intake import Intake
from edged.archive.layout import utc
from edged.archive.ledger import LedgerKind, append
from edged.archive.reconcile import reconcile
from edged.archive.segments import totals
from edged.archive.tree import size
from edged.archive.volumes import Volume, open_volumes
from edged.base.clock import Clock
from edged.base.errors import Refused
from edged.base.files import sync_folder
from edged.config import Config
from edged.law.packs import load_packs, shipped_packs
from edged.law.site import SiteLaw
from edged.prove.desk import ProofDesk
from edged.prove.verify_retention import Altered, read_key
from edged.retain.holds import list_holds
from edged.retain.sidecar import restore_holds
from edged.retain.stamp import Stamper

INDEX = "index.sqlite3"


class CannotRebuild(Refused):
    """The index is not rebuilt, and nothing was changed."""

    code = "APP-030"


@dataclass(slots=True, kw_only=True)
class Rebuilt:
    """What the new index holds. `problems` is one sentence for each thing that is not as it was."""

    aside: str | None  # the old index's new name, None where there was none
    segments: int = 0
    deleted: int = 0  # recorded once, deleted lawfully since
    holds: int = 0  # in force
    entries: int = 0  # of the ledger
    problems: list[str] = field(default_factory=list)


def plan_rebuild(config: Config) -> Inventory:
    """What there is to rebuild from; changes nothing, and may be asked while the daemon runs."""
    return take_inventory(config)


def rebuild(config: Config, clock: Clock, old_keys: Sequence[Path] = ()) -> tuple[Inventory, Rebuilt]:
    """Put the index aside and make a new one, as the owner of the old one where root asks for it.

    `old_keys` are files with public keys that signed this box's ledger before its key was lost. Raises AlreadyRunning
    while a controller runs, FolderUnusable and CannotRebuild.
    """
    earlier = [_old_key(path) for path in old_keys]
    state = config.recorder.state_dir
    own_folders(config)
    with only_instance(state / "controller.lock"):
        found = take_inventory(config)
        reached = found.source.entries if found.source else 0
        if all(each.unusable for each in found.volumes):
            why = "; ".join(f"{each.volume}: {each.unusable}" for each in found.volumes)
            raise CannotRebuild(
                f"no volume can be read ({why})", hint="mount the disks that the configuration names, with their owner"
            )
        if found.index_entries > reached:
            raise CannotRebuild(
                f"the index has {found.index_entries} ledger entries, the volumes' copies only {reached}",
                hint="start `edged run`, which brings the copies up to date; or move the index away yourself",
            )
        aside = _put_aside(state, clock)
        return found, asyncio.run(_build(config, clock, earlier, Rebuilt(aside=aside)))


def _put_aside(state: Path, clock: Clock) -> str | None:
    """Rename the index and what belongs to it; returns its new name."""
    stamp = f"{utc(clock.wall_us()):%Y%m%dT%H%M%SZ}"
    name, count = f"{INDEX}.before-{stamp}", 1
    while (state / name).exists():
        count += 1
        name = f"{INDEX}.before-{stamp}-{count}"
    moved = None
    for suffix in ("-wal", "-shm", ""):  # its log first: a new index must never meet that of the old one
        if (state / f"{INDEX}{suffix}").exists():
            os.rename(state / f"{INDEX}{suffix}", state / f"{name}{suffix}")
            moved = name
    sync_folder(state)
    return moved


def _old_key(path: Path) -> Ed25519PublicKey:
    try:
        return read_key(path.read_bytes())
    except (OSError, Altered) as error:
        raise CannotRebuild(f"{path} is no public key ({error})", hint="give ledger-key.pub.pem or key.pem") from error


async def _build(config: Config, clock: Clock, earlier: Sequence[Ed25519PublicKey], done: Rebuilt) -> Rebuilt:
    law = SiteLaw(
        load_packs(config.retention.rule_packs or shipped_packs()),
        config.site.jurisdiction,
        config.site.timezone,
        config.retention.grace,
    )
    stamper = Stamper(law, clock, config.situation())
    for camera in config.camera:
        stamper.know(camera.id, config.situation(camera))
    database = Database(config.recorder.state_dir / INDEX)
    try:
        ledger = await begin_ledger(database, config, clock.wall_us(), earlier)
        if ledger.unsigned:
            done.problems.append(
                f"{ledger.unsigned} ledger entries are not signed by this box's key: no release, removal or deletion in"
                " them is believed; rebuild again with --old-key and the public key that signed them"
            )
        volumes = await database.write(_enter, config, clock.wall_us())
        intake = Intake(database, clock, volumes, stamper, law.tz)
        try:
            await intake.catch_up()
            compared = await reconcile(database, volumes, clock, settle=intake.catch_up)
        finally:
            intake.close()
        unread = {**intake.stopped, **compared.skipped}
        await database.write(read_again, config, [v.id for v in volumes if v.id not in unread], clock.wall_us())
        done.deleted = intake.deleted_segments
        done.problems += [f"volume {name}: {why}" for name, why in sorted(unread.items())]
        for count, what in (
            (
                compared.missing,
                "segments are named by a journal, but their files are gone without a deletion on record",
            ),
            (compared.stray_count, "files are named by no journal; they stay where they are, outside the index"),
            (intake.bad_lines, "journal lines cannot be understood"),
        ):
            done.problems += [f"{count} {what}"] if count else []
        await _prove(database, clock, config, law, volumes, ledger, done)
        done.segments, done.holds, done.entries = await database.read(_count)
    finally:
        database.close()
    return done


async def _prove(
    database: Database, clock: Clock, config: Config, law: SiteLaw, volumes: list[Volume], ledger: Any, done: Rebuilt
) -> None:
    """Sign the ledger as it is now, bring the copies up to it, and check all of it."""
    desk = ProofDesk(database, clock, ledger.key, [v for v in volumes if not v.fenced], config.recorder.id, law)
    try:
        desk.distrust(ledger.contradictions)
        await desk.finish()
        done.problems += (await desk.verify()).problems
    finally:
        desk.close()


def _enter(connection: sqlite3.Connection, config: Config, now_us: int) -> list[Volume]:
    volumes = open_volumes(connection, [(volume.id, volume.path) for volume in config.volume], now_us)
    restore_holds(connection, volumes, now_us)
    append(connection, now_us, LedgerKind.ARCHIVE_REBUILT, {"volumes": [v.id for v in volumes if not v.fenced]})
    return volumes


def _count(connection: sqlite3.Connection) -> tuple[int, int, int]:
    return sum(each.segments for each in totals(connection)), len(list_holds(connection, False)), size(connection)
