"""SOAP 1.2 envelopes: taking requests apart, building replies and faults. Decides only.

Requests are matched by namespace, never by prefix. A document type is refused: nothing in ONVIF needs one, and
entities are how XML parsers are attacked.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from simulators.auth import UsernameToken

ENVELOPE = "http://www.w3.org/2003/05/soap-envelope"
ENVELOPE_11 = "http://schemas.xmlsoap.org/soap/envelope/"
WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSU = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
SCHEMA = "http://www.onvif.org/ver10/schema"
ERRORS = "http://www.onvif.org/ver10/error"


class SoapFault(Exception):
    """A request that is answered with a fault (ONVIF Core 5.8.2): `code` Sender or Receiver, `subcodes` from ter."""

    def __init__(self, code: str, subcodes: tuple[str, ...], reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.code = code
        self.subcodes = subcodes
        self.reason = reason
        self.status = status


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message taken apart; `prefixes` are the document's namespace declarations, for QNames inside text."""

    header: ElementTree.Element | None
    body: ElementTree.Element | None
    """The first element in the Body: the operation."""
    prefixes: dict[str, str]


def parse(document: bytes) -> Envelope:
    """Take a SOAP 1.2 (or 1.1) message apart. Raises SoapFault where it is none."""
    if b"<!DOCTYPE" in document:
        raise SoapFault("Sender", ("WellFormed",), "a document type is not allowed")
    prefixes: dict[str, str] = {}
    root: ElementTree.Element | None = None
    try:
        for event, item in ElementTree.iterparse(BytesIO(document), events=("start-ns", "end")):
            if event == "start-ns":
                prefixes[item[0]] = item[1]
            else:
                root = item
    except ElementTree.ParseError as error:
        raise SoapFault("Sender", ("WellFormed",), f"not well-formed XML: {error}") from error
    for namespace in (ENVELOPE, ENVELOPE_11):
        if root is not None and root.tag == f"{{{namespace}}}Envelope":
            body = root.find(f"{{{namespace}}}Body")
            if body is None:
                break
            return Envelope(root.find(f"{{{namespace}}}Header"), next(iter(body), None), prefixes)
    raise SoapFault("Sender", ("WellFormed",), "not a SOAP envelope with a body")


def split_tag(element: ElementTree.Element) -> tuple[str, str]:
    """Namespace and local name of an element."""
    namespace, _, name = element.tag.rpartition("}")
    return namespace.removeprefix("{"), name


def find_username_token(envelope: Envelope) -> UsernameToken | None:
    """The WS-Security UsernameToken of the header, if there is one."""
    if envelope.header is None:
        return None
    token = envelope.header.find(f"{{{WSSE}}}Security/{{{WSSE}}}UsernameToken")
    if token is None:
        return None
    password = token.find(f"{{{WSSE}}}Password")
    created = (token.findtext(f"{{{WSU}}}Created") or "").strip()
    return UsernameToken(
        username=(token.findtext(f"{{{WSSE}}}Username") or "").strip(),
        password_type=password.get("Type", "") if password is not None else "",
        password=(password.text or "").strip() if password is not None else "",
        nonce=(token.findtext(f"{{{WSSE}}}Nonce") or "").strip(),
        created=created,
        created_us=_parse_time_us(created),
    )


def _parse_time_us(text: str) -> int | None:
    """An xs:dateTime in microseconds UTC; without a zone it is taken as UTC, as cameras do."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1_000_000)


def reply(body: str, namespaces: dict[str, str], header: str = "") -> bytes:
    """An envelope around `body`, declaring the prefixes the body uses."""
    declared = "".join(f' xmlns:{prefix}="{uri}"' for prefix, uri in namespaces.items())
    head = f"<env:Header>{header}</env:Header>" if header else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><env:Envelope xmlns:env="{ENVELOPE}"{declared}>'
        f"{head}<env:Body>{body}</env:Body></env:Envelope>"
    ).encode()


def fault_reply(fault: SoapFault) -> bytes:
    """The fault as a message."""
    inner = ""
    for subcode in reversed(fault.subcodes):
        inner = f"<env:Subcode><env:Value>ter:{subcode}</env:Value>{inner}</env:Subcode>"
    return reply(
        f"<env:Fault><env:Code><env:Value>env:{fault.code}</env:Value>{inner}</env:Code>"
        f'<env:Reason><env:Text xml:lang="en">{escape(fault.reason)}</env:Text></env:Reason></env:Fault>',
        {"ter": ERRORS},
    )
