"""What the API needs of the house that it answers for."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from edged.archive.database import Database
from edged.archive.roster import Camera
from edged.archive.volumes import Volume
from edged.base.clock import Clock
from edged.config import Config
from edged.law.site import SiteLaw
from edged.model import RecorderStatus
from edged.outage.desk import OutageDesk
from edged.prove.desk import ProofDesk
from edged.prove.scrub import Scrub
from edged.report.health import Snapshot
from edged.retain.evidence import Evidence
from edged.retain.holds import Holds


class Roster(Protocol):
    """Who changes the roster and, with it, what is recorded."""

    cameras: tuple[Camera, ...]

    async def adopt(self, camera: str, by: str) -> Camera: ...

    async def remove(self, camera: str, by: str) -> Camera: ...


class Deletions(Protocol):
    """What the sweep's last pass said: how the retention clock stands, why nothing was deleted at all, and by volume
    why nothing was deleted there or why it stays below its reserve all the same."""

    trusted: bool
    why: str
    refused: str
    volumes: Mapping[str, str]


class Rooms(Protocol):
    """What the API needs of the house."""

    config: Config
    clock: Clock
    database: Database
    volumes: Sequence[Volume]
    law: SiteLaw
    holds: Holds
    evidence: Evidence

    @property
    def deletions(self) -> Deletions: ...

    desk: OutageDesk
    proofs: ProofDesk
    scrub: Scrub

    @property
    def roster(self) -> Roster: ...

    def snapshot(self) -> Snapshot: ...

    def status(self) -> RecorderStatus | None: ...
