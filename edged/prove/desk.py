"""Everything that proves, for one recorder: it keeps the ledger's heads and copies, and answers whoever asks."""

import asyncio
import base64
import datetime as dt
import importlib.resources
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edged.archive import tree
from edged.archive.database import Database
from edged.archive.segments import SegmentKey
from edged.archive.volumes import Volume
from edged.base.clock import Clock
from edged.base.errors import Refused
from edged.law.cited import names
from edged.law.site import SiteLaw
from edged.model import StreamKind
from edged.prove.audit import Audit, audit_ledger
from edged.prove.bundle import gather_day, write_bundle
from edged.prove.checkpoints import LedgerRewritten, sign_head
from edged.prove.key import LedgerKey
from edged.prove.mirror import NOT_YET, REREAD_S, Mirror
from edged.prove.proofs import prove_consistency, prove_segment
from edged.prove.verify_retention import Altered, Head, fingerprint, parse_head

log = logging.getLogger(__name__)

HEAD_EVERY_SECONDS = 600.0  # also the longest time in which a rewritten ledger could pass unseen
SCRIPT = "verify_retention.py"


class BadCheckpoint(Refused):
    """A text is not a head of this ledger."""

    code = "PRV-021"
    hint = "give the file as it was published, with its signature lines"


class ProofDesk:
    """Use as the home of the ledger's copies: `run` keeps them and the heads, `close` ends their threads."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        key: LedgerKey,
        volumes: Sequence[Volume],
        recorder: str,
        law: SiteLaw,
        reread_s: float = REREAD_S,
    ) -> None:
        self.key = key
        self.rewritten = ""  # why no head is signed any more; empty while all is well
        self._database = database
        self._clock = clock
        self._law = law
        self.mirrors = [Mirror(database, clock, volume, recorder, key, reread_s) for volume in volumes]

    async def run(
        self, wake: Callable[[], None] = lambda: None, on_progress: Callable[[], None] = lambda: None
    ) -> None:
        """Sign heads and follow with the copies until cancelled; `wake` is called after each new head."""
        async with asyncio.TaskGroup() as group:
            for mirror in self.mirrors:
                group.create_task(mirror.run(on_progress), name=f"mirror:{mirror.volume.id}")
            while True:
                await self.sign()
                wake()
                on_progress()
                await self._clock.sleep(HEAD_EVERY_SECONDS)

    def behind(self) -> tuple[str, ...]:
        """The volumes whose copies do not follow; one that was not looked at yet is not known to."""
        return tuple(each.volume.id for each in self.mirrors if each.behind not in ("", NOT_YET))

    async def finish(self) -> None:
        """The last head of this run, copied everywhere; for an orderly end, after the last entry."""
        await self.sign()
        for mirror in self.mirrors:
            await mirror.catch_up()

    def close(self) -> None:
        """End the copies' threads."""
        for mirror in self.mirrors:
            mirror.close()

    def distrust(self, reasons: Sequence[str]) -> None:
        """Sign nothing from here on, because the ledger contradicts what was signed before."""
        if reasons:
            self.rewritten = "; ".join(reasons)
            log.critical("the ledger is not the one that was signed: %s", self.rewritten)

    async def sign(self) -> str | None:
        """The newest head, signed now where the ledger has grown; None where it must not be signed."""
        try:
            return await self.head()
        except LedgerRewritten:
            return None

    async def head(self) -> str:
        """As `sign`. Raises LedgerRewritten."""
        if self.rewritten:
            raise LedgerRewritten(self.rewritten)
        try:
            return await self._database.write(sign_head, self.key, self._clock.wall_us())
        except LedgerRewritten as error:
            self.distrust([error.what])
            raise

    async def describe(self) -> dict[str, Any]:
        """The head, the key, and how the copies stand."""
        note = await self.head()
        head = parse_head(note)
        return {
            "origin": head.origin,
            "size": head.size,
            "root": base64.b64encode(head.root).decode(),
            "checkpoint": note,
            "key": self.key.pem,
            "verifier_key": self.key.verifier,
            "fingerprint": fingerprint(self.key.public),
            "mirrors": [{"volume": each.volume.id, "behind": each.behind} for each in self.mirrors],
        }

    async def verify(self) -> Audit:
        """Check the whole ledger as it stands now, and its copies, which are given the chance to follow first."""
        size = await self._database.read(tree.size)
        for mirror in self.mirrors:
            await mirror.catch_up()
        audit = await audit_ledger(self._database, self.key, self.mirrors, size)
        if self.rewritten:
            audit.blame(self.rewritten)
        return audit

    async def prove_segment(self, segment: SegmentKey) -> dict[str, Any]:
        """That a segment's hash stands in the ledger. Raises NotOnRecord."""
        return await self._database.read(prove_segment, segment, await self.head())

    async def prove_consistency(self, old_note: str) -> dict[str, Any]:
        """That the ledger continues an old head. Raises BadCheckpoint where that is not this ledger's."""
        return await self._database.read(prove_consistency, self._own(old_note), await self.head())

    async def prove_day(self, camera: str, stream: StreamKind, date: dt.date) -> dict[str, str]:
        """The files of a bundle by name; the making itself is an entry. Raises UnknownCamera, NotOnRecord."""
        if self.rewritten:
            raise LedgerRewritten(self.rewritten)
        return await self._database.write(self._gather, camera, stream, date, self._clock.wall_us())

    def _gather(
        self, connection: sqlite3.Connection, camera: str, stream: StreamKind, date: dt.date, now_us: int
    ) -> dict[str, str]:
        day = gather_day(connection, camera, stream, date, self._law.tz, self._rules())
        script = importlib.resources.files("edged.prove").joinpath(SCRIPT).read_text(encoding="utf-8")
        return write_bundle(connection, day, self.key, script, now_us)

    def _rules(self) -> Mapping[str, str]:
        return names(self._law.packs)

    def _own(self, note: str) -> Head:
        """A head of this ledger, whichever key signed it: who asks has that key, and the proof is for them to check."""
        try:
            head = parse_head(note)
        except Altered as error:
            raise BadCheckpoint(str(error)) from error
        if head.origin != self.key.origin:
            raise BadCheckpoint(f"this is a head of {head.origin!r}, not of this ledger")
        return head
