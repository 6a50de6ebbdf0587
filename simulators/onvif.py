"""The ONVIF operations of a camera: device, media and media2. Decides only: a request element in, reply XML out.

Written against the ONVIF Core, Media and Media2 specifications; the replies are held against the official schemas by a
contract test with zeep.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from simulators.film import ClipSpec
from simulators.rtsp_paths import STREAMS
from simulators.soap import SCHEMA, SoapFault, reply, split_tag

DEVICE = "http://www.onvif.org/ver10/device/wsdl"
MEDIA = "http://www.onvif.org/ver10/media/wsdl"
MEDIA2 = "http://www.onvif.org/ver20/media/wsdl"
NAMESPACES = {"tds": DEVICE, "trt": MEDIA, "tr2": MEDIA2, "tt": SCHEMA}
PATHS = {
    DEVICE: "/onvif/device_service",
    MEDIA: "/onvif/media_service",
    MEDIA2: "/onvif/media2_service",
}
_VERSIONS = {DEVICE: (21, 12), MEDIA: (21, 12), MEDIA2: (21, 12)}
# Access class PRE_AUTH (ONVIF Core 5.9.4.3): answered to everybody.
PRE_AUTH = frozenset(
    ("GetSystemDateAndTime", "GetServices", "GetCapabilities", "GetServiceCapabilities", "GetHostname")
)
_ENCODINGS = {"h264": "H264", "h265": "H265", "mjpeg": "JPEG"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a camera is, wherever it is."""

    name: str
    serial: str
    endpoint_reference: str
    mac: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a camera's services are at the moment."""

    address: str
    onvif_port: int
    rtsp_port: int

    def service(self, namespace: str) -> str:
        """The address of one ONVIF service."""
        return f"http://{self.address}:{self.onvif_port}{PATHS[namespace]}"

    def stream(self, stream: str) -> str:
        """The RTSP URL of one stream, without credentials."""
        return f"rtsp://{self.address}:{self.rtsp_port}/{quote(stream)}"


@dataclass(frozen=True, slots=True)
class Facts:
    """All an answer may depend on. `camera_now_us` is the camera's own clock."""

    identity: Identity
    where: Whereabouts
    spec: ClipSpec
    camera_now_us: int


def answer(service: str, request: ElementTree.Element, facts: Facts) -> bytes:
    """The reply to `request` at the service of this namespace. Raises SoapFault for what cannot be answered."""
    namespace, name = split_tag(request)
    operation = _OPERATIONS.get((namespace, name))
    if namespace != service or operation is None:
        raise SoapFault("Receiver", ("ActionNotSupported",), f"{name} is not supported here", 500)
    prefix = next(prefix for prefix, uri in NAMESPACES.items() if uri == namespace)
    body = operation(request, facts)
    return reply(f"<{prefix}:{name}Response>{body}</{prefix}:{name}Response>", NAMESPACES)


def _text(request: ElementTree.Element, *path: str) -> str | None:
    """The text at a path of local names, whatever their namespaces."""
    found: ElementTree.Element | None = request
    for name in path:
        found = next((child for child in found if split_tag(child)[1] == name), None) if found is not None else None
    return (found.text or "").strip() if found is not None else None


def _date_and_time(_: ElementTree.Element, facts: Facts) -> str:
    moment = _EPOCH + timedelta(microseconds=facts.camera_now_us)
    clock = (
        f"<tt:Time><tt:Hour>{moment.hour}</tt:Hour><tt:Minute>{moment.minute}</tt:Minute>"
        f"<tt:Second>{moment.second}</tt:Second></tt:Time><tt:Date><tt:Year>{moment.year}</tt:Year>"
        f"<tt:Month>{moment.month}</tt:Month><tt:Day>{moment.day}</tt:Day></tt:Date>"
    )
    return (
        "<tds:SystemDateAndTime><tt:DateTimeType>Manual</tt:DateTimeType>"
        "<tt:DaylightSavings>false</tt:DaylightSavings><tt:TimeZone><tt:TZ>UTC0</tt:TZ></tt:TimeZone>"
        f"<tt:UTCDateTime>{clock}</tt:UTCDateTime><tt:LocalDateTime>{clock}</tt:LocalDateTime>"
        "</tds:SystemDateAndTime>"
    )


def _device_information(_: ElementTree.Element, facts: Facts) -> str:
    return (
        "<tds:Manufacturer>Simulated</tds:Manufacturer><tds:Model>Simulated Camera</tds:Model>"
        "<tds:FirmwareVersion>1.0</tds:FirmwareVersion>"
        f"<tds:SerialNumber>{escape(facts.identity.serial)}</tds:SerialNumber>"
        "<tds:HardwareId>simulated</tds:HardwareId>"
    )


def _services(_: ElementTree.Element, facts: Facts) -> str:
    return "".join(
        f"<tds:Service><tds:Namespace>{namespace}</tds:Namespace>"
        f"<tds:XAddr>{facts.where.service(namespace)}</tds:XAddr>"
        f"<tds:Version><tt:Major>{major}</tt:Major><tt:Minor>{minor}</tt:Minor></tds:Version></tds:Service>"
        for namespace, (major, minor) in _VERSIONS.items()
    )


def _capabilities(_: ElementTree.Element, facts: Facts) -> str:
    return (
        "<tds:Capabilities>"
        f"<tt:Device><tt:XAddr>{facts.where.service(DEVICE)}</tt:XAddr></tt:Device>"
        f"<tt:Media><tt:XAddr>{facts.where.service(MEDIA)}</tt:XAddr><tt:StreamingCapabilities>"
        "<tt:RTPMulticast>false</tt:RTPMulticast><tt:RTP_TCP>true</tt:RTP_TCP>"
        "<tt:RTP_RTSP_TCP>true</tt:RTP_RTSP_TCP></tt:StreamingCapabilities></tt:Media></tds:Capabilities>"
    )


def _scopes(_: ElementTree.Element, facts: Facts) -> str:
    return "".join(
        f"<tds:Scopes><tt:ScopeDef>Fixed</tt:ScopeDef><tt:ScopeItem>{escape(scope)}</tt:ScopeItem></tds:Scopes>"
        for scope in facts.identity.scopes
    )


def _hostname(_: ElementTree.Element, facts: Facts) -> str:
    return (
        "<tds:HostnameInformation><tt:FromDHCP>false</tt:FromDHCP>"
        f"<tt:Name>{escape(facts.identity.name)}</tt:Name></tds:HostnameInformation>"
    )


def _network_interfaces(_: ElementTree.Element, facts: Facts) -> str:
    return (
        '<tds:NetworkInterfaces token="eth0"><tt:Enabled>true</tt:Enabled><tt:Info><tt:Name>eth0</tt:Name>'
        f"<tt:HwAddress>{facts.identity.mac}</tt:HwAddress><tt:MTU>1500</tt:MTU></tt:Info>"
        "<tt:IPv4><tt:Enabled>true</tt:Enabled><tt:Config><tt:Manual>"
        f"<tt:Address>{facts.where.address}</tt:Address><tt:PrefixLength>24</tt:PrefixLength></tt:Manual>"
        "<tt:DHCP>false</tt:DHCP></tt:Config></tt:IPv4></tds:NetworkInterfaces>"
    )


def _resolution(spec: ClipSpec) -> str:
    return f"<tt:Resolution><tt:Width>{spec.width}</tt:Width><tt:Height>{spec.height}</tt:Height></tt:Resolution>"


def _bounds(spec: ClipSpec) -> str:
    return f'<tt:Bounds x="0" y="0" width="{spec.width}" height="{spec.height}"/>'


_MULTICAST = (
    "<tt:Multicast><tt:Address><tt:Type>IPv4</tt:Type><tt:IPv4Address>0.0.0.0</tt:IPv4Address></tt:Address>"
    "<tt:Port>0</tt:Port><tt:TTL>1</tt:TTL><tt:AutoStart>false</tt:AutoStart></tt:Multicast>"
)


def _profiles(_: ElementTree.Element, facts: Facts) -> str:
    spec = facts.spec
    return "".join(
        f'<trt:Profiles token="{stream}" fixed="true"><tt:Name>{stream}</tt:Name>'
        '<tt:VideoSourceConfiguration token="source-config"><tt:Name>source</tt:Name>'
        f"<tt:UseCount>2</tt:UseCount><tt:SourceToken>source</tt:SourceToken>{_bounds(spec)}"
        f"</tt:VideoSourceConfiguration>{_encoder(spec, stream)}</trt:Profiles>"
        for stream in STREAMS
    )


def _encoder(spec: ClipSpec, stream: str) -> str:
    """The encoder in the words of the first media service, which has none for H.265 and leaves it out."""
    if spec.codec == "h265":
        return ""
    h264 = (
        f"<tt:H264><tt:GovLength>{spec.gop}</tt:GovLength><tt:H264Profile>{_profile(spec)}</tt:H264Profile></tt:H264>"
    )
    return (
        f'<tt:VideoEncoderConfiguration token="encoder-{stream}">'
        f"<tt:Name>{stream}</tt:Name><tt:UseCount>1</tt:UseCount><tt:Encoding>{_ENCODINGS[spec.codec]}</tt:Encoding>"
        f"{_resolution(spec)}<tt:Quality>5</tt:Quality><tt:RateControl>"
        f"<tt:FrameRateLimit>{spec.fps}</tt:FrameRateLimit><tt:EncodingInterval>1</tt:EncodingInterval>"
        f"<tt:BitrateLimit>{spec.bitrate // 1000}</tt:BitrateLimit></tt:RateControl>"
        f"{h264 if spec.codec == 'h264' else ''}"
        f"{_MULTICAST}<tt:SessionTimeout>PT60S</tt:SessionTimeout></tt:VideoEncoderConfiguration>"
    )


def _profile(spec: ClipSpec) -> str:
    return "Main" if spec.bframes or spec.codec == "h265" else "Baseline"


def _video_sources(_: ElementTree.Element, facts: Facts) -> str:
    return (
        f'<trt:VideoSources token="source"><tt:Framerate>{facts.spec.fps}</tt:Framerate>'
        f"{_resolution(facts.spec)}</trt:VideoSources>"
    )


def _known_profile(token: str | None) -> str:
    if token not in STREAMS:
        raise SoapFault("Sender", ("InvalidArgVal", "NoProfile"), "no profile has this token")
    return token


def _stream_uri(request: ElementTree.Element, facts: Facts) -> str:
    token = _known_profile(_text(request, "ProfileToken"))
    if _text(request, "StreamSetup", "Stream") not in ("RTP-Unicast", None):
        raise SoapFault("Sender", ("InvalidArgVal", "InvalidStreamSetup"), "only RTP-Unicast is served")
    return (
        f"<trt:MediaUri><tt:Uri>{facts.where.stream(token)}</tt:Uri>"
        "<tt:InvalidAfterConnect>false</tt:InvalidAfterConnect>"
        "<tt:InvalidAfterReboot>false</tt:InvalidAfterReboot><tt:Timeout>PT0S</tt:Timeout></trt:MediaUri>"
    )


def _profiles2(request: ElementTree.Element, facts: Facts) -> str:
    """Media2 GetProfiles: configurations come only for the types asked (Media2 5.2.2)."""
    spec, wanted = facts.spec, _text(request, "Token")
    streams = STREAMS if wanted is None else (_known_profile(wanted),)
    types = {(child.text or "").strip() for child in request if split_tag(child)[1] == "Type"}
    source = (
        '<tr2:VideoSource token="source-config"><tt:Name>source</tt:Name><tt:UseCount>2</tt:UseCount>'
        f"<tt:SourceToken>source</tt:SourceToken>{_bounds(spec)}</tr2:VideoSource>"
    )
    described = "" if spec.codec == "mjpeg" else f' GovLength="{spec.gop}" Profile="{_profile(spec)}"'
    parts = []
    for stream in streams:
        encoder = (
            f'<tr2:VideoEncoder token="encoder-{stream}"{described}>'
            f"<tt:Name>{stream}</tt:Name><tt:UseCount>1</tt:UseCount>"
            f"<tt:Encoding>{_ENCODINGS[spec.codec]}</tt:Encoding>"
            f"{_resolution(spec)}<tt:RateControl><tt:FrameRateLimit>{spec.fps}</tt:FrameRateLimit>"
            f"<tt:BitrateLimit>{spec.bitrate // 1000}</tt:BitrateLimit></tt:RateControl>"
            "<tt:Quality>5</tt:Quality></tr2:VideoEncoder>"
        )
        inner = source * bool(types & {"All", "VideoSource"}) + encoder * bool(types & {"All", "VideoEncoder"})
        configurations = f"<tr2:Configurations>{inner}</tr2:Configurations>" if inner else ""
        parts.append(
            f'<tr2:Profiles token="{stream}" fixed="true"><tr2:Name>{stream}</tr2:Name>{configurations}</tr2:Profiles>'
        )
    return "".join(parts)


def _stream_uri2(request: ElementTree.Element, facts: Facts) -> str:
    token = _known_profile(_text(request, "ProfileToken"))
    if _text(request, "Protocol") not in ("RTSP", "RtspUnicast"):
        raise SoapFault("Sender", ("InvalidArgVal", "InvalidStreamSetup"), "this protocol is not served")
    return f"<tr2:Uri>{facts.where.stream(token)}</tr2:Uri>"


_OPERATIONS: dict[tuple[str, str], Callable[[ElementTree.Element, Facts], str]] = {
    (DEVICE, "GetSystemDateAndTime"): _date_and_time,
    (DEVICE, "GetDeviceInformation"): _device_information,
    (DEVICE, "GetServices"): _services,
    (DEVICE, "GetCapabilities"): _capabilities,
    (DEVICE, "GetScopes"): _scopes,
    (DEVICE, "GetHostname"): _hostname,
    (DEVICE, "GetNetworkInterfaces"): _network_interfaces,
    (MEDIA, "GetProfiles"): _profiles,
    (MEDIA, "GetVideoSources"): _video_sources,
    (MEDIA, "GetStreamUri"): _stream_uri,
    (MEDIA2, "GetProfiles"): _profiles2,
    (MEDIA2, "GetStreamUri"): _stream_uri2,
}
