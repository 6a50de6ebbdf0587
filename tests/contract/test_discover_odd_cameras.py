"""The ONVIF port against cameras that answer as real ones do at their worst, and against hostile ones."""

import asyncio
import datetime
import itertools
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edged.base.clock import SystemClock
from edged.discover import onvif_wire
from edged.discover.choose import choose_main
from edged.discover.onvif_client import OnvifClients
from edged.discover.port import CameraRefusesLogin, CameraSpeaksOddly, CameraUnreachable, Login, OnvifPort
from tests.odd_camera import (
    CLOCK,
    HTML,
    IDENTITY,
    MEDIA1_PROFILES,
    MEDIA2_PROFILES,
    NAMES,
    SOAP_11,
    Answer,
    OddCamera,
    envelope,
    fault,
    page,
    services,
    serving,
    stream_uri1,
    stream_uri2,
)

LOGIN = Login(username="user", password="pass")


@pytest.fixture
async def camera() -> AsyncIterator[OddCamera]:
    async with serving(OddCamera()) as odd:
        yield odd


@asynccontextmanager
async def asking(
    camera: OddCamera, login: Login | None = None, *, tls: ssl.SSLContext | bool = True
) -> AsyncIterator[OnvifPort]:
    async with OnvifClients(SystemClock(), lambda _: login, tls=tls) as clients:
        yield clients.port("c-odd", camera.xaddr)


@pytest.fixture
async def port(camera: OddCamera) -> AsyncIterator[OnvifPort]:
    async with asking(camera) as asked:
        yield asked


async def test_media2_is_asked_first_and_media1_not_at_all(camera: OddCamera, port: OnvifPort) -> None:
    camera.answers |= {
        "device GetServices": services(
            ("ver20/media", f"http://{camera.host}:{camera.port}/onvif/media2"),
            ("ver10/media", f"http://{camera.host}:{camera.port}/onvif/media"),
        ),
        "media2 GetProfiles": MEDIA2_PROFILES,
        "media2 GetStreamUri": stream_uri2(f"rtsp://{camera.host}:554/two"),
    }
    [profile] = await port.profiles()
    assert (profile.token, profile.codec, profile.width, profile.height) == ("p2", "H264", 1920, 1080)
    assert await port.stream_uri("p2") == f"rtsp://{camera.host}:554/two"
    assert not [asked for asked in camera.asked if asked.startswith("media ")]


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(lambda _: page(HTML, 500), id="500 with HTML"),
        pytest.param(lambda _: page(HTML, 404), id="404"),
        pytest.param(lambda _: page(HTML), id="200 with HTML"),
        pytest.param("<tr2:GetProfilesResponse/>", id="no profile at all"),
    ],
)
async def test_where_media2_is_broken_media1_is_asked(camera: OddCamera, port: OnvifPort, broken: Answer) -> None:
    camera.answers |= {
        "device GetServices": services(
            ("ver20/media", f"http://{camera.host}:{camera.port}/onvif/media2"),
            ("ver10/media", f"http://{camera.host}:{camera.port}/onvif/media"),
        ),
        "media2 GetProfiles": broken,
        "media GetProfiles": MEDIA1_PROFILES.format(encoding="H264"),
        "media GetStreamUri": stream_uri1("rtsp://203.0.113.9/one"),
    }
    [profile] = await port.profiles()
    assert profile.token == "p1"
    assert await port.stream_uri("p1") == f"rtsp://{camera.host}/one"
    assert "media2 GetStreamUri" not in camera.asked


async def test_a_camera_that_lists_no_services_is_asked_for_its_capabilities(
    camera: OddCamera, port: OnvifPort
) -> None:
    camera.answers |= {
        "device GetCapabilities": "<tds:GetCapabilitiesResponse><tds:Capabilities><tt:Media>"
        f"<tt:XAddr>http://{camera.host}:{camera.port}/onvif/old</tt:XAddr></tt:Media></tds:Capabilities>"
        "</tds:GetCapabilitiesResponse>",
        "old GetProfiles": MEDIA1_PROFILES.format(encoding="H264"),
    }
    assert [profile.token for profile in await port.profiles()] == ["p1"]


async def test_h265_in_media1_is_read_although_its_enumeration_lacks_it(camera: OddCamera, port: OnvifPort) -> None:
    camera.answers |= {
        "device GetServices": services(("ver10/media", f"http://{camera.host}:{camera.port}/onvif/media")),
        "media GetProfiles": MEDIA1_PROFILES.format(encoding="H265"),
    }
    chosen = choose_main(await port.profiles()).profile
    assert chosen is not None
    assert chosen.codec == "H265"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(envelope(IDENTITY, names=NAMES + ' xmlns:x="urn:x" a:b="c"'), id="undeclared prefix"),
        pytest.param(envelope(IDENTITY) + b"\r\n\r\n--padding", id="content after the root"),
        pytest.param(envelope(IDENTITY, soap=SOAP_11), id="SOAP 1.1"),
        pytest.param(envelope(IDENTITY).replace(b"</tds:HardwareId>", b"</HardwareId>"), id="mismatched end tag"),
        pytest.param(
            envelope(IDENTITY.replace("<tds:HardwareId>h</tds:HardwareId>", "")), id="required element missing"
        ),
        pytest.param(
            envelope(IDENTITY.replace("tds:HardwareId", "tt:Extra").replace("tds:Model", "tds:Model")), id="stranger"
        ),
    ],
)
async def test_badly_formed_replies_of_real_cameras_are_read(
    camera: OddCamera, port: OnvifPort, content: bytes
) -> None:
    camera.answers["device GetDeviceInformation"] = content
    assert (await port.identity()).serial == "SERIAL-ODD"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda _: page(HTML), id="200 with an HTML page"),
        pytest.param(lambda _: page(HTML, 404), id="404"),
        pytest.param(lambda _: page("", 200), id="nothing"),
        pytest.param(lambda _: page("", 500), id="500 and nothing"),
        pytest.param(lambda _: fault("ActionNotSupported", 200), id="fault with status 200"),
        pytest.param(b'<!DOCTYPE x [<!ENTITY a "b">]>' + envelope(IDENTITY.replace("ODD", "&a;")), id="document type"),
        pytest.param(b"<!DOCTYPE x>" + envelope(IDENTITY), id="document type without entities"),
        pytest.param(b" " * 5000 + b'<!DOCTYPE x [<!ENTITY a "b">]>' + envelope(IDENTITY), id="late document type"),
        pytest.param(envelope("<tds:GetHostnameResponse/>"), id="answer to something else"),
        pytest.param(envelope(IDENTITY) + b" " * (1 << 20), id="more than 1 MiB"),
        pytest.param(b"\xff\xfe\x00garbage", id="garbage"),
    ],
)
async def test_what_is_no_answer_is_odd(camera: OddCamera, port: OnvifPort, answer: Answer) -> None:
    camera.answers["device GetDeviceInformation"] = answer
    with pytest.raises(CameraSpeaksOddly) as odd:
        await port.identity()
    assert camera.host not in str(odd.value)


async def test_damaged_replies_raise_nothing_but_what_the_port_promises(camera: OddCamera, port: OnvifPort) -> None:
    draw = random.Random(20)
    whole = {"GetDeviceInformation": envelope(IDENTITY), "GetSystemDateAndTime": envelope(CLOCK)}
    read = 0
    for _ in range(150):
        for operation, content in whole.items():
            damaged = bytearray(content)
            for _ in range(draw.randint(1, 4)):
                place = draw.randrange(len(damaged))
                damaged[place : place + draw.randint(0, 12)] = draw.randbytes(draw.randint(0, 12))
            camera.answers[f"device {operation}"] = bytes(damaged)
        for ask in (port.identity, port.clock):
            try:
                await ask()
                read += 1
            except (CameraSpeaksOddly, CameraRefusesLogin):
                pass
    assert 0 < read < 300


async def test_a_camera_cannot_lead_elsewhere(camera: OddCamera, port: OnvifPort) -> None:
    """Redirects are not followed, and the addresses it tells are taken at its own host."""
    async with serving(OddCamera()) as trap:
        camera.answers["device GetDeviceInformation"] = lambda _: web.Response(
            status=307, headers={"Location": f"http://{trap.host}:{trap.port}/onvif/device"}
        )
        with pytest.raises(CameraSpeaksOddly):
            await port.identity()
        camera.answers |= {
            "device GetServices": services(("ver10/media", f"http://{trap.host}:{trap.port}/onvif/media")),
            "media GetProfiles": MEDIA1_PROFILES.format(encoding="H264"),
            "media GetStreamUri": stream_uri1(f"rtsp://user:pass@{trap.host}:8554/ch?a=1&amp;amp;b=2"),
        }
        assert len(await port.profiles()) == 1
        assert await port.stream_uri("p1") == f"rtsp://{camera.host}:8554/ch?a=1&b=2"
        assert trap.asked == []


async def test_reading_a_huge_reply_does_not_hold_up_the_event_loop(camera: OddCamera, port: OnvifPort) -> None:
    one = MEDIA1_PROFILES.format(encoding="H264").removeprefix("<trt:GetProfilesResponse>")
    one = one.removesuffix("</trt:GetProfilesResponse>")
    many = f"<trt:GetProfilesResponse>{one * 2500}</trt:GetProfilesResponse>"
    assert len(envelope(many)) < onvif_wire.LARGEST_REPLY
    camera.answers |= {"device GetServices": services(), "device GetProfiles": many}
    await port.identity()  # the WSDLs are parsed by now
    loop = asyncio.get_running_loop()
    beats = [loop.time()]
    asking_now = asyncio.create_task(port.profiles())
    while not asking_now.done():
        await asyncio.sleep(0.002)
        beats.append(loop.time())
    assert len(asking_now.result()) == 256  # of so many, the first
    # Had it been read on the loop, one pause would have been nearly all of the time.
    assert max(after - before for before, after in itertools.pairwise(beats)) < (beats[-1] - beats[0]) * 0.6


@pytest.mark.parametrize("uri", ["", "nonsense", "http://h/stream", "rtsp://", "rtsp://h:port/x"])
async def test_a_stream_that_is_none_is_odd(camera: OddCamera, port: OnvifPort, uri: str) -> None:
    camera.answers |= {"device GetServices": services(), "device GetStreamUri": stream_uri1(uri)}
    with pytest.raises(CameraSpeaksOddly):
        await port.stream_uri("p1")


async def test_a_service_at_a_port_where_nobody_answers_is_asked_at_the_devices_own(
    camera: OddCamera, port: OnvifPort
) -> None:
    """Behind a forwarded port a camera tells the port it knows."""
    camera.answers |= {
        "device GetServices": services(("ver10/media", f"http://{camera.host}:1/onvif/media")),
        "media GetProfiles": MEDIA1_PROFILES.format(encoding="H264"),
    }
    assert len(await port.profiles()) == 1


async def test_a_clock_behind_a_login_is_left_alone(camera: OddCamera) -> None:
    """It is measured without credentials or not at all (ONVIF Core 8.3.5 wants it answered to everybody)."""
    camera.answers["device GetSystemDateAndTime"] = lambda _: page("<html>log in</html>", 401)
    async with asking(camera, LOGIN) as port:
        assert await port.clock() is None
    assert camera.logins == 0


async def test_a_clock_years_behind_is_measured(camera: OddCamera, port: OnvifPort) -> None:
    offset = await port.clock()
    assert offset is not None
    assert offset < -8 * 365 * 86_400 * 1_000_000


@pytest.mark.parametrize("status", [400, 200, 500])
async def test_a_refusal_by_fault_is_answered_with_a_token(camera: OddCamera, status: int) -> None:
    def wants_token(content: bytes) -> web.Response:
        if b"UsernameToken" not in content:
            return fault("NotAuthorized", status)
        assert b"+00:00" not in content  # some firmware takes Zulu time alone
        return web.Response(body=envelope(IDENTITY), content_type="application/soap+xml")

    camera.answers["device GetDeviceInformation"] = wants_token
    async with asking(camera, LOGIN) as port:
        assert (await port.identity()).serial == "SERIAL-ODD"
        asked = len(camera.asked)
        await port.identity()
        assert len(camera.asked) == asked + 1  # the scheme is remembered


async def test_credentials_are_never_sent_where_only_basic_is_offered(camera: OddCamera) -> None:
    """Basic would show the password to the network; a token does not."""

    def basic(content: bytes) -> web.Response:
        return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'}, text="<html>")

    camera.answers["device GetDeviceInformation"] = basic
    async with asking(camera, LOGIN) as port:
        with pytest.raises(CameraRefusesLogin):
            await port.identity()
    assert camera.logins == 1  # the token


async def test_nobody_at_the_address_is_unreachable(camera: OddCamera, port: OnvifPort) -> None:
    camera.answers["device GetDeviceInformation"] = lambda _: web.Response(status=503)
    with pytest.raises(CameraUnreachable):
        await port.identity()
    async with OnvifClients(SystemClock(), lambda _: None) as clients:
        with pytest.raises(CameraUnreachable) as gone:
            await clients.port("c-odd", f"http://{camera.host}:1/onvif/device").identity()
    assert camera.host not in str(gone.value)


async def test_a_camera_that_never_answers_is_given_up(camera: OddCamera, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onvif_wire, "TOTAL_SECONDS", 0.3)

    async def answer_never(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse()
        await reply.prepare(request)
        await reply.write(b"<")
        await request.content.iter_any().__anext__()
        while not request.transport.is_closing() if request.transport is not None else False:
            await SystemClock().sleep(0.01)
        return reply

    monkeypatch.setattr(camera, "answer", answer_never)
    async with serving(camera), asking(camera) as port:
        with pytest.raises(CameraUnreachable, match="did not answer"):
            await port.identity()


@pytest.fixture
def certificate(tmp_path: Path) -> ssl.SSLContext:
    """What a camera shows: signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "camera")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + datetime.timedelta(days=36500))
    (tmp_path / "cert.pem").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    return context


async def test_a_certificate_is_verified_unless_told_otherwise(certificate: ssl.SSLContext) -> None:
    odd = OddCamera()
    odd.scheme = "https"
    async with serving(odd, certificate):
        async with asking(odd, LOGIN) as port:
            with pytest.raises(CameraSpeaksOddly, match="certificate"):
                await port.identity()
        assert odd.asked == []
        async with asking(odd, LOGIN, tls=False) as port:
            assert (await port.identity()).serial == "SERIAL-ODD"
