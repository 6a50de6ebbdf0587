"""Every key of the operator's file, its meaning, unit, range and default, written once.

Durations and sizes carry their unit in the file ("10s", "5GiB") and are plain seconds and bytes here.
"""

import re
import zoneinfo
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from edged.config.units import Bytes, Days, Seconds
from edged.model import Designation, Keep, OwnRule, Place, Situation

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


def _opaque_id(value: str) -> str:
    if not _ID.fullmatch(value):
        raise ValueError("an id is 1 to 32 of the characters a-z, 0-9 and -, starting with a letter or digit")
    return value


Id = Annotated[str, AfterValidator(_opaque_id)]
Transport = Literal["tcp", "udp"]


class Record(BaseModel):
    """Unknown keys are refused, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SiteConfig(Record):
    """The place this box stands in, and who must hear about faults."""

    id: Id  # opaque: it appears in MQTT topics, so no place name (Lhasa art. 30, 33)
    timezone: str = "Asia/Shanghai"  # civil days are counted here
    jurisdiction: Id  # name of a rule pack
    place: Place = "listed"
    designations: tuple[Designation, ...] = ()  # of every camera here; each brings longer or further minimums
    repair_unit: str = Field(min_length=1)  # addressee of fault reports (Changzhou art. 18(8))
    superior_department: str = Field(min_length=1)  # the other addressee

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in zoneinfo.available_timezones():
            raise ValueError("not a time zone of this machine's database; write it like Asia/Shanghai")
        return value


class RecorderConfig(Record):
    """How streams become files."""

    id: Id = "nvr"
    state_dir: Path = Path("/var/lib/edged")  # index, assignment, counters
    runtime_dir: Path = Path("/run/edged")  # sockets
    segment: Seconds = Field(default=60.0, ge=2, le=60)  # at most this long; starts on a keyframe
    fragment: Seconds = Field(default=2.0, ge=0.2, le=2)  # what a power cut may cost
    sync: Seconds = Field(default=1.0, ge=0.1, le=10)  # between syncs of open files, per volume
    processes: int = Field(default=1, ge=1, le=8)  # one uses about one core; cameras are dealt out over them
    # What follows holds for every camera that does not say otherwise.
    audio: bool = False  # recorded where the camera sends it; several jurisdictions restrict it
    sub: bool = False  # the small stream as well as the one recorded by law
    transport: Transport = "tcp"  # of the media; rtsps:// is always tcp
    tls_ca: Path | None = None  # PEM authorities for rtsps:// cameras instead of the system's own


class VolumeConfig(Record):
    """A folder on a mounted disk that holds recordings."""

    id: Id
    path: Path
    reserve: Bytes = 2 * 2**30  # free space below which footage past its floor may be erased

    @field_validator("path")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        if not value.is_absolute():
            raise ValueError("a volume's path is absolute")
        return value


class LoginConfig(Record):
    """One user name and password for cameras; `edged` never guesses others."""

    username: str
    password: SecretStr | None = None
    password_file: Path | None = None  # its first line; keeps the secret out of the configuration

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.password is None) == (self.password_file is None):
            raise ValueError("give either password or password_file")
        return self

    def read_password(self) -> str:
        """The password, from the file where one is named. Raises OSError."""
        if self.password is not None:
            return self.password.get_secret_value()
        assert self.password_file is not None  # _one_source
        return self.password_file.read_text(encoding="utf-8").partition("\n")[0]


class DiscoveryConfig(Record):
    """How cameras are found."""

    enabled: bool = True
    interfaces: tuple[str, ...] = ()  # network interfaces to probe; none: only `probe` and [[camera]] entries
    probe: tuple[str, ...] = ()  # addresses asked directly, for routed networks
    every: Seconds = Field(default=60.0, ge=1, le=86400)
    adopt: Literal["auto", "manual"] = "manual"
    login: LoginConfig | None = None


class CameraConfig(Record):
    """A camera recorded by its RTSP URL alone, or, without `url`, what differs for a discovered one."""

    id: Id
    name: str = ""  # shown by the CLI only, never published
    url: str | None = None
    sub_url: str | None = None  # its small stream, recorded where `sub` says so
    login: LoginConfig | None = None
    place: Place | None = None  # where it differs from the site's
    designations: tuple[Designation, ...] = ()  # on top of the site's
    volume: Id | None = None
    priority: int = Field(default=5, ge=1, le=9)  # a full disk stops the cameras of the lowest first (LAW 3.5)
    keep: Keep | None = None  # where it differs from the one under [retention]
    keep_at_least: Days | None = Field(default=None, ge=1, le=36_500)  # where it is more than the one under [retention]
    # Where they differ from those under [recorder].
    audio: bool | None = None
    sub: bool | None = None
    transport: Transport | None = None
    tls_ca: Path | None = None
    tls_pin: str | None = None  # SHA-256 fingerprint of the camera's own certificate, as openssl prints it
    redirect_hosts: tuple[str, ...] = ()  # hosts beside its own that the camera may send its viewers to

    @field_validator("url", "sub_url")
    @classmethod
    def _rtsp_without_credentials(cls, value: str | None) -> str | None:
        if value is None:
            return value
        parts = urlsplit(value)
        if parts.scheme not in ("rtsp", "rtsps") or not parts.hostname:
            raise ValueError("a stream URL begins with rtsp:// or rtsps:// and names a host")
        if parts.username or parts.password:
            raise ValueError("no credentials in the URL: put them under login")
        return value

    @field_validator("tls_pin")
    @classmethod
    def _fingerprint(cls, value: str | None) -> str | None:
        if value is None:
            return value
        plain = value.replace(":", "").lower()
        if not re.fullmatch(r"[0-9a-f]{64}", plain):
            raise ValueError(
                "a SHA-256 fingerprint is 64 hexadecimal digits, with or without colons; "
                "`openssl x509 -noout -fingerprint -sha256` prints it"
            )
        return plain

    @field_validator("redirect_hosts")
    @classmethod
    def _hosts_alone(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"[\w.:%-]+", host) and "//" not in host for host in value):
            raise ValueError("a host is a name or an address, without scheme, port or path")
        return value

    @model_validator(mode="after")
    def _one_camera(self) -> Self:
        if self.url is None:
            if self.sub_url is not None:
                raise ValueError("sub_url stands beside url: a discovered camera tells where its small stream is")
            return self
        if self.sub and self.sub_url is None:
            raise ValueError("sub = true wants to be told where the small stream is: add sub_url")
        plain = not any(url.startswith("rtsps:") for url in (self.url, self.sub_url) if url)
        if plain and (self.tls_pin is not None or self.tls_ca is not None):
            raise ValueError("tls_ca and tls_pin are for rtsps:// URLs: correct url, or leave them out")
        if not plain and self.transport == "udp":
            raise ValueError('rtsps:// carries its media inside TLS: leave out transport, or make it "tcp"')
        return self


class RetentionConfig(Record):
    """What the site decides about retention, inside what the law allows."""

    grace: Days = Field(default=3, ge=0)  # past the floor, before a duty to delete or keep = "floor" is carried out
    keep: Keep = "until-full"  # when footage past its floor goes; a duty to delete comes before it
    keep_at_least: Days | None = Field(
        default=None, ge=1, le=36_500
    )  # the operator's own minimum; never below the law's
    sweep_every: Seconds = Field(default=600.0, ge=1, le=86400)
    batch: int = Field(default=120, ge=1, le=5000)  # segments per deleting transaction
    alarm_ahead: Days = Field(default=14, ge=0, le=365)  # a disk that will be full of what must stay is told so early
    scrub_within: Days = Field(default=30, ge=1, le=365)  # every recording is read again and compared with its hash
    camera_clocks: bool = True  # whether a majority of the cameras' clocks may vouch for this box's
    immutable_holds: bool = False  # whether held files get the immutable attribute besides their second names
    rule_packs: Path | None = None  # a folder of rule packs instead of the shipped ones


class OutageConfig(Record):
    """When a silent feed becomes an outage."""

    suspect_after: Seconds = Field(default=5.0, ge=1, le=3600)  # without a committed frame
    outage_after: Seconds = Field(default=8.0, ge=1, le=3600)  # without a committed frame; counted from the same frame
    sustained: Seconds = Field(default=10.0, ge=1, le=3600)  # of good stream before it counts as restored
    # A maintenance contract's own limits; where absent the rule pack's, and else the product's targets, apply.
    contract_report_within: Seconds | None = Field(default=None, ge=60)
    contract_attend_within: Seconds | None = Field(default=None, ge=60)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.outage_after < self.suspect_after:
            raise ValueError("outage_after must not be shorter than suspect_after")
        return self


class MqttConfig(Record):
    """The broker that is told."""

    host: str
    port: int = Field(default=1883, ge=1, le=65535)
    login: LoginConfig | None = None
    tls: bool = False
    ca_file: Path | None = None
    keepalive: Seconds = Field(default=30.0, ge=5, le=600)
    health_every: Seconds = Field(default=30.0, ge=1, le=3600)


class MetricsConfig(Record):
    """Where Prometheus scrapes."""

    host: str = "127.0.0.1"
    port: int = Field(default=9108, ge=0, le=65535)  # 0: any free port, written to runtime_dir/metrics.port


class ApiConfig(Record):
    """The Unix socket that the CLI uses; default <runtime_dir>/api.sock."""

    socket: Path | None = None


class Config(Record):
    """The whole file."""

    site: SiteConfig
    recorder: RecorderConfig = RecorderConfig()
    volume: tuple[VolumeConfig, ...] = Field(min_length=1)
    discovery: DiscoveryConfig = DiscoveryConfig()
    camera: tuple[CameraConfig, ...] = ()
    retention: RetentionConfig = RetentionConfig()
    outage: OutageConfig = OutageConfig()
    mqtt: MqttConfig | None = None
    metrics: MetricsConfig | None = MetricsConfig()
    api: ApiConfig = ApiConfig()

    def situation(self, camera: CameraConfig | None = None) -> Situation:
        """What the law goes by at the site or, where given, at a camera that differs from it."""
        own, site, common = camera or CameraConfig(id="none"), self.site, self.retention
        return Situation(
            own.place or site.place,
            tuple(sorted({*site.designations, *own.designations})),
            OwnRule(
                at_least_days=max(own.keep_at_least or 0, common.keep_at_least or 0),
                keep=own.keep or common.keep,
            ),
        )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        volumes = [volume.id for volume in self.volume]
        cameras = [camera.id for camera in self.camera]
        for kind, ids in (("volume", volumes), ("camera", cameras)):
            doubled = sorted({i for i in ids if ids.count(i) > 1})
            if doubled:
                raise ValueError(f"{kind} id used twice: {', '.join(doubled)}")
        if len({volume.path for volume in self.volume}) < len(volumes):
            raise ValueError("two volumes share one path")
        for camera in self.camera:
            if camera.volume is not None and camera.volume not in volumes:
                raise ValueError(f"camera {camera.id} names the volume {camera.volume}, which is not configured")
        nobody = not any(camera.url for camera in self.camera)
        if nobody and not (self.discovery.enabled and (self.discovery.interfaces or self.discovery.probe)):
            raise ValueError(
                "no camera can ever be found: name discovery.interfaces, discovery.probe or a [[camera]] with a url"
            )
        return self
