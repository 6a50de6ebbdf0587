"""The simulated camera's ONVIF services, judged by the official WSDLs: zeep in strict mode must accept the replies."""

import itertools
import os
import re
from typing import Any

import aiohttp
import onvif
import onvif.client
import onvif.settings
import pytest
import zeep.exceptions

from simulators.camera import Camera
from simulators.fleet import Fleet

_numbers = itertools.count(1)
SMALL: dict[str, Any] = {"size": "160x90", "bitrate": "100k", "gop": 5, "multicast": False}
SOAP = "http://www.w3.org/2003/05/soap-envelope"


def fleet_of_one(**asked: Any) -> Fleet:
    return Fleet(cameras=1, subnet=f"127.{20 + os.getpid() % 200}.{200 + next(_numbers) % 50}", **SMALL | asked)


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onvif.settings.DEFAULT_SETTINGS, "strict", True)


async def client_for(camera: Camera, password: str = "secret") -> Any:
    host, port = str(camera.onvif_url).split("/")[2].split(":")
    client = onvif.ONVIFCamera(host, int(port), "admin", password, adjust_time=True)
    await client.update_xaddrs()
    return client


@pytest.mark.parametrize("offset", [0.0, -7200.0])
async def test_zeep_accepts_every_reply(strict: None, offset: float) -> None:
    async with fleet_of_one(clock_offset=offset) as fleet:
        (camera,) = fleet.cameras
        client = await client_for(camera)
        assert onvif.settings.DEFAULT_SETTINGS.strict
        try:
            device = await client.create_devicemgmt_service()
            media = await client.create_media_service()
            information = await device.GetDeviceInformation()
            assert information.SerialNumber == camera.identity.serial
            services = await device.GetServices({"IncludeCapability": False})
            assert {service.Namespace: service.XAddr.rsplit("/", 1)[1] for service in services} == {
                DEVICE: "device_service",
                DEVICE.replace("device", "media"): "media_service",
                MEDIA2: "media2_service",
            }
            capabilities = await device.GetCapabilities({"Category": "All"})
            assert capabilities.Media.XAddr == str(camera.onvif_url).replace("device", "media")
            scopes = await device.GetScopes()
            assert f"onvif://www.onvif.org/name/{camera.name}" in [scope.ScopeItem for scope in scopes]
            assert (await device.GetHostname()).Name == "cam-1"
            (interface,) = await device.GetNetworkInterfaces()
            assert re.fullmatch(r"02(:[0-9a-f]{2}){5}", interface.Info.HwAddress)
            profiles = await media.GetProfiles()
            assert [profile.token for profile in profiles] == ["main", "sub"]
            assert profiles[0].VideoEncoderConfiguration.Resolution.Width == 160
            assert (await media.GetVideoSources())[0].token == "source"
            for profile in profiles:
                setup = {"Stream": "RTP-Unicast", "Transport": {"Protocol": "RTSP"}}
                uri = await media.GetStreamUri({"StreamSetup": setup, "ProfileToken": profile.token})
                assert uri.Uri == camera.rtsp_url.replace("main", profile.token)
            with pytest.raises(zeep.exceptions.Fault) as caught:
                await media.GetStreamUri({"StreamSetup": setup, "ProfileToken": "none-such"})
            assert [code.localname for code in caught.value.subcodes] == ["InvalidArgVal", "NoProfile"]
        finally:
            await client.close()


@pytest.mark.parametrize(("codec", "told", "told2"), [("h265", None, "H265"), ("mjpeg", "JPEG", "JPEG")])
async def test_other_codecs_are_told_where_there_are_words_for_them(
    strict: None, codec: str, told: str | None, told2: str
) -> None:
    async with fleet_of_one(codec=codec, auth="none", size="320x240", bitrate="500k") as fleet:
        (camera,) = fleet.cameras
        client = await client_for(camera)
        try:
            profiles = await (await client.create_media_service()).GetProfiles()
        finally:
            await client.close()
        encoders = [profile.VideoEncoderConfiguration for profile in profiles]
        assert [encoder and encoder.Encoding for encoder in encoders] == [told, told]
        url = str(camera.onvif_url).replace("device", "media2")
        _, full = await ask(url, envelope("GetProfiles", MEDIA2, "<x:Type>VideoEncoder</x:Type>"))
        assert full.count(f"<tt:Encoding>{told2}</tt:Encoding>") == 2


async def test_the_wrong_password_is_a_not_authorized_fault() -> None:
    async with fleet_of_one(onvif_auth="wsse") as fleet:
        client = await client_for(fleet.cameras[0], "wrong")
        device = await client.create_devicemgmt_service()
        with pytest.raises(zeep.exceptions.Fault) as caught:
            await device.GetDeviceInformation()
        assert [code.localname for code in caught.value.subcodes] == ["NotAuthorized"]
        await client.close()


async def test_a_token_signed_by_the_wrong_clock_is_refused() -> None:
    async with fleet_of_one(clock_offset=-7200.0) as fleet:
        host, port = str(fleet.cameras[0].onvif_url).split("/")[2].split(":")
        client = onvif.ONVIFCamera(host, int(port), "admin", "secret", adjust_time=False)
        await client.update_xaddrs()
        device = await client.create_devicemgmt_service()
        with pytest.raises(zeep.exceptions.Fault, match="not authorized"):
            await device.GetDeviceInformation()
        await client.close()


def envelope(operation: str, namespace: str, inner: str = "") -> str:
    return (
        f'<s:Envelope xmlns:s="{SOAP}"><s:Body><x:{operation} xmlns:x="{namespace}">{inner}</x:{operation}>'
        "</s:Body></s:Envelope>"
    )


DEVICE = "http://www.onvif.org/ver10/device/wsdl"
MEDIA2 = "http://www.onvif.org/ver20/media/wsdl"


@pytest.mark.parametrize("kind", ["digest", "both"])
async def test_http_digest_opens_the_soap_endpoint(kind: str) -> None:
    async with fleet_of_one(onvif_auth=kind) as fleet:
        url = str(fleet.cameras[0].onvif_url)
        body = envelope("GetDeviceInformation", DEVICE)
        right = aiohttp.DigestAuthMiddleware("admin", "secret")
        async with aiohttp.ClientSession(middlewares=(right,)) as session, session.post(url, data=body) as reply:
            assert reply.status == 200
            assert fleet.cameras[0].identity.serial in await reply.text()
        wrong = aiohttp.DigestAuthMiddleware("admin", "wrong")
        async with aiohttp.ClientSession(middlewares=(wrong,)) as session, session.post(url, data=body) as reply:
            assert reply.status == 401
            assert "ter:NotAuthorized" in await reply.text()


async def ask(url: str, body: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.post(url, data=body) as reply:
        return reply.status, await reply.text()


async def test_media2_describes_both_streams() -> None:
    async with fleet_of_one(auth="none") as fleet:
        (camera,) = fleet.cameras
        url = str(camera.onvif_url).replace("device", "media2")
        _, bare = await ask(url, envelope("GetProfiles", MEDIA2))
        _, full = await ask(url, envelope("GetProfiles", MEDIA2, "<x:Type>VideoEncoder</x:Type>"))
        assert re.findall(r'<tr2:Profiles token="(\w+)"', bare) == ["main", "sub"]
        assert "VideoEncoder" not in bare
        assert full.count("<tt:Encoding>H264</tt:Encoding>") == 2
        inner = "<x:Protocol>RTSP</x:Protocol><x:ProfileToken>sub</x:ProfileToken>"
        status, uri = await ask(url, envelope("GetStreamUri", MEDIA2, inner))
        assert (status, re.findall("<tr2:Uri>(.*)</tr2:Uri>", uri)) == (200, [camera.rtsp_url.replace("main", "sub")])
        status, fault = await ask(url, envelope("GetStreamUri", MEDIA2, inner.replace("sub", "x")))
        assert (status, "ter:NoProfile" in fault) == (400, True)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("not xml", 400, "ter:WellFormed"),
        ("<a/>", 400, "ter:WellFormed"),
        (f'<s:Envelope xmlns:s="{SOAP}"><s:Body/></s:Envelope>', 400, "ter:WellFormed"),
        ("<!DOCTYPE a>" + envelope("GetServices", DEVICE), 400, "ter:WellFormed"),
        (envelope("Reboot", DEVICE), 500, "ter:ActionNotSupported"),
        (envelope("GetProfiles", MEDIA2), 500, "ter:ActionNotSupported"),
    ],
)
async def test_bad_requests_get_proper_faults(body: str, status: int, said: str) -> None:
    async with fleet_of_one(auth="none") as fleet:
        got, text = await ask(str(fleet.cameras[0].onvif_url), body)
        assert got == status
        assert f"<env:Value>{said}</env:Value>" in text


async def test_only_the_open_operations_answer_without_credentials() -> None:
    async with fleet_of_one(onvif_auth="wsse") as fleet:
        url = str(fleet.cameras[0].onvif_url)
        for operation in ("GetSystemDateAndTime", "GetServices", "GetCapabilities", "GetHostname"):
            assert (await ask(url, envelope(operation, DEVICE)))[0] == 200
        for operation in ("GetDeviceInformation", "GetScopes", "GetNetworkInterfaces"):
            status, text = await ask(url, envelope(operation, DEVICE))
            assert (status, "ter:NotAuthorized" in text) == (400, True)
