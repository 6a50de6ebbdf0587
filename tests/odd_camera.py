"""A camera that answers as a test wants: as real ones do at their worst, or as hostile ones might."""

import itertools
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

_numbers = itertools.count(1)
NAMES = (
    'xmlns:tds="http://www.onvif.org/ver10/device/wsdl" xmlns:trt="http://www.onvif.org/ver10/media/wsdl"'
    ' xmlns:tr2="http://www.onvif.org/ver20/media/wsdl" xmlns:tt="http://www.onvif.org/ver10/schema"'
)
SOAP_12, SOAP_11 = "http://www.w3.org/2003/05/soap-envelope", "http://schemas.xmlsoap.org/soap/envelope/"
HTML = "<!DOCTYPE html><html><head><title>404</title></head><body><p>Not here<br></body></html>"
MEDIA2_PROFILES = (
    '<tr2:GetProfilesResponse><tr2:Profiles token="p2"><tr2:Name>two</tr2:Name><tr2:Configurations>'
    '<tr2:VideoSource token="s"><tt:Name>s</tt:Name></tr2:VideoSource><tr2:VideoEncoder token="e"><tt:Name>e</tt:Name>'
    "<tt:UseCount>1</tt:UseCount><tt:Encoding>H264</tt:Encoding><tt:Resolution><tt:Width>1920</tt:Width>"
    "<tt:Height>1080</tt:Height></tt:Resolution><tt:Quality>1</tt:Quality></tr2:VideoEncoder></tr2:Configurations>"
    "</tr2:Profiles></tr2:GetProfilesResponse>"
)
MEDIA1_PROFILES = (
    '<trt:GetProfilesResponse><trt:Profiles token="p1"><tt:Name>one</tt:Name><tt:VideoEncoderConfiguration token="e">'
    "<tt:Encoding>{encoding}</tt:Encoding><tt:Resolution><tt:Width>640</tt:Width><tt:Height>360</tt:Height>"
    "</tt:Resolution></tt:VideoEncoderConfiguration></trt:Profiles></trt:GetProfilesResponse>"
)
IDENTITY = (
    "<tds:GetDeviceInformationResponse><tds:Manufacturer>m</tds:Manufacturer><tds:Model>d</tds:Model>"
    "<tds:FirmwareVersion>1</tds:FirmwareVersion><tds:SerialNumber>SERIAL-ODD</tds:SerialNumber>"
    "<tds:HardwareId>h</tds:HardwareId></tds:GetDeviceInformationResponse>"
)
CLOCK = (
    "<tds:GetSystemDateAndTimeResponse><tds:SystemDateAndTime><tt:DateTimeType>NTP</tt:DateTimeType>"
    "<tt:DaylightSavings>false</tt:DaylightSavings><tt:TimeZone><tt:TZ>EST+5:00:00EDT04:00:00,M3.5.0/01:00:00</tt:TZ>"
    "</tt:TimeZone><tt:UTCDateTime><tt:Time><tt:Hour>0</tt:Hour><tt:Minute>0</tt:Minute><tt:Second>0</tt:Second>"
    "</tt:Time><tt:Date><tt:Year>2017</tt:Year><tt:Month>1</tt:Month><tt:Day>1</tt:Day></tt:Date></tt:UTCDateTime>"
    "</tds:SystemDateAndTime></tds:GetSystemDateAndTimeResponse>"
)


def services(*told: tuple[str, str]) -> str:
    inner = "".join(
        f"<tds:Service><tds:Namespace>http://www.onvif.org/{namespace}/wsdl</tds:Namespace><tds:XAddr>{url}</tds:XAddr>"
        "<tds:Version><tt:Major>2</tt:Major><tt:Minor>6</tt:Minor></tds:Version></tds:Service>"
        for namespace, url in told
    )
    return f"<tds:GetServicesResponse>{inner}</tds:GetServicesResponse>"


def stream_uri1(uri: str) -> str:
    return f"<trt:GetStreamUriResponse><trt:MediaUri><tt:Uri>{uri}</tt:Uri></trt:MediaUri></trt:GetStreamUriResponse>"


def stream_uri2(uri: str) -> str:
    return f"<tr2:GetStreamUriResponse><tr2:Uri>{uri}</tr2:Uri></tr2:GetStreamUriResponse>"


def envelope(body: str, soap: str = SOAP_12, names: str = NAMES) -> bytes:
    return f'<s:Envelope xmlns:s="{soap}" {names}><s:Body>{body}</s:Body></s:Envelope>'.encode()


def page(text: str, status: int = 200) -> web.Response:
    return web.Response(status=status, text=text, content_type="text/html")


def fault(code: str, status: int) -> web.Response:
    body = (
        f"<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>ter:{code}</s:Value></s:Subcode></s:Code>"
        '<s:Reason><s:Text xml:lang="en">no</s:Text></s:Reason></s:Fault>'
    )
    names = f'{NAMES} xmlns:ter="http://www.onvif.org/ver10/error"'
    return web.Response(status=status, body=envelope(body, names=names), content_type="application/soap+xml")


Answer = str | bytes | Callable[[bytes], web.Response]


class OddCamera:
    """Answers each operation, told apart as `service operation`, with what a test wants; the rest with a fault."""

    def __init__(self) -> None:
        self.host = f"127.{20 + os.getpid() % 200}.{100 + next(_numbers) % 50}.1"
        self.port = 0
        self.scheme = "http"
        self.answers: dict[str, Answer] = {
            "device GetDeviceInformation": IDENTITY,
            "device GetSystemDateAndTime": CLOCK,
        }
        self.asked: list[str] = []
        self.logins = 0

    @property
    def xaddr(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}/onvif/device"

    async def answer(self, request: web.Request) -> web.Response:
        content = await request.read()
        service = request.path.rpartition("/")[2]
        operation = content.split(b"Body>")[1].split(b":", 1)[1].split(b" ")[0].split(b"/")[0].split(b">")[0].decode()
        self.asked.append(f"{service} {operation}")
        self.logins += b"UsernameToken" in content or "Authorization" in request.headers
        answer = self.answers.get(f"{service} {operation}", self.answers.get("anything"))
        if answer is None:
            return fault("ActionNotSupported", 500)
        if callable(answer):
            return answer(content)
        body = envelope(answer) if isinstance(answer, str) else answer
        return web.Response(body=body, content_type="application/soap+xml", charset="utf-8")


@asynccontextmanager
async def serving(camera: OddCamera, tls: ssl.SSLContext | None = None) -> AsyncIterator[OddCamera]:
    app = web.Application()
    app.router.add_post("/onvif/{service}", camera.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, camera.host, 0, ssl_context=tls)
        await site.start()
        camera.port = runner.addresses[0][1]
        yield camera
    finally:
        await runner.cleanup()
