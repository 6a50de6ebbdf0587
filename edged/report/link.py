"""One connection to the broker, with what aiomqtt and paho leave to their user.

aiomqtt 2.5 does not look at PUBACK reason codes, warns about every publish above ten in flight, does not close its
socket after a failed connect, and paho ignores the broker's Receive Maximum. All of that is dealt with here and
nowhere else, because aiomqtt 3 will change every line of it.
"""

import asyncio
import contextlib
import logging
import ssl
from types import TracebackType
from typing import Any, Self

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edged.base.errors import OwnerMustAct, TryAgain
from edged.config.records import LoginConfig, MqttConfig

log = logging.getLogger(__name__)

V5, V311 = aiomqtt.ProtocolVersion.V5, aiomqtt.ProtocolVersion.V311
# Longer than a network blip, shorter than anybody's patience: a reconnect within it needs no death.
SESSION_EXPIRY_SECONDS = 60
WINDOW = 20  # messages in flight; mosquitto's default Receive Maximum
HANDSHAKE_SECONDS = 5.0
_OTHER_VERSION = {1, 132}  # CONNACK: unacceptable protocol version (3.1.1), unsupported protocol version (5)
_LOGIN = {4, 5, 134, 135, 138, 140}  # CONNACK: bad login, not authorised, banned, bad authentication method


class BrokerUnreachable(TryAgain):
    """No working connection to the broker."""

    code = "MQT-001"
    hint = "check that the broker runs and that mqtt.host and mqtt.port are right; messages wait in the outbox"


class BrokerRefuses(OwnerMustAct):
    """The broker does not let this recorder in."""

    code = "MQT-002"
    hint = "check mqtt.login, mqtt.tls and the broker's access rules; messages wait in the outbox"


class OtherVersion(TryAgain):
    """The broker does not speak the MQTT version asked for."""

    code = "MQT-003"


class _TlsSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails and does not wait for it for ever: paho does neither."""

    def do_handshake(self, block: bool = False) -> None:
        self.settimeout(HANDSHAKE_SECONDS)
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


class Link(aiomqtt.Client):
    """An MQTT connection as an async context: enters connected, leaves with DISCONNECT or, after an error, without.

    Without DISCONNECT the broker publishes the will, which is right: whoever left by error may be dead.
    """

    def __init__(
        self,
        config: MqttConfig,
        *,
        client_id: str,
        version: aiomqtt.ProtocolVersion,
        will: tuple[str, str] | None,
        will_delay_seconds: int,
        timeout: float,
    ) -> None:
        """`will` is topic and payload of what the broker says when this connection ends by error.

        Without one the connection is a mere question, in the shortest form of CONNECT, and leaves no session behind.
        `timeout` in seconds bounds the connect and every call.
        """
        five = version == V5
        connect = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        connect.SessionExpiryInterval = SESSION_EXPIRY_SECONDS
        delay = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]
        delay.WillDelayInterval = will_delay_seconds
        super().__init__(
            config.host,
            config.port,
            identifier=client_id,
            protocol=version,
            clean_session=None if five else False,
            clean_start=False if five else paho.MQTT_CLEAN_START_FIRST_ONLY,
            properties=connect if five and will else None,
            will=aiomqtt.Will(*will, qos=1, retain=True, properties=delay if five else None) if will else None,
            timeout=timeout,
            keepalive=round(config.keepalive),
            max_queued_incoming_messages=100,
        )
        self.version = version
        self.window = WINDOW
        self.pending_calls_threshold = 1_000_000
        self._config = config
        self._acks: dict[int, asyncio.Future[int]] = {}
        self._abandoned = False
        self._client.connect_timeout = timeout

    def send(self, topic: str, payload: str) -> asyncio.Future[int]:
        """Hand a retained QoS 1 message over; the future gives the PUBACK's reason code (0 to 127 is good).

        Messages go out in the order of the calls. Raises BrokerUnreachable where the connection is known to be gone;
        a future of a connection that dies later stays open, so wait for it beside `wait_until_gone`.
        """
        info = self._client.publish(topic, payload, qos=1, retain=True, properties=self._json())
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise BrokerUnreachable(f"the broker's connection is gone ({paho.error_string(info.rc)})")
        future: asyncio.Future[int] = self._loop.create_future()
        self._acks[info.mid] = future
        return future

    async def wait_until_gone(self) -> None:
        """Return never; raise BrokerUnreachable as soon as the connection is lost.

        Only the message iterator notices at once. No message is expected, as nothing is subscribed to.
        """
        try:
            async for _ in self.messages:
                log.debug("the broker sent a message nobody asked for")
        except aiomqtt.MqttError as error:
            raise BrokerUnreachable(f"the connection to the broker was lost ({_text(error)})") from error

    async def __aenter__(self) -> Self:
        try:
            return await super().__aenter__()
        except aiomqtt.MqttCodeError as error:
            self.abandon()
            code = error.rc.value if isinstance(error.rc, ReasonCode) else error.rc
            if code in _OTHER_VERSION:
                raise OtherVersion("the broker speaks another version of MQTT") from error
            if code in _LOGIN:
                raise BrokerRefuses(f"the broker refuses the connection ({_text(error)})") from error
            raise BrokerUnreachable(f"the broker does not accept the connection ({_text(error)})") from error
        except aiomqtt.MqttError as error:
            self.abandon()
            raise BrokerUnreachable(f"the broker cannot be reached ({_text(error)})") from error
        except BaseException:
            self.abandon()
            raise

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if exc_type is None:
            with contextlib.suppress(aiomqtt.MqttError):  # a broker that hangs while we leave anyway
                await super().__aexit__(None, None, None)
        self.abandon()

    def abandon(self) -> None:
        """Close the socket without a word and forget what was in flight. Harmless when closed already."""
        self._abandoned = True
        self._client._sock_close()  # paho has no public way to close without DISCONNECT
        for future in self._acks.values():
            future.cancel()
        self._acks.clear()
        self._fetch_errors()

    def _client_connect(self) -> None:
        # Runs in an executor thread: files are read and names resolved here, never on the event loop.
        try:
            if self._config.login is not None:
                self._client.username_pw_set(self._config.login.username, _password(self._config.login))
            if self._config.tls:
                context = ssl.create_default_context(cafile=self._config.ca_file)
                context.sslsocket_class = _TlsSocket
                self._client.tls_set_context(context)
        except OSError as error:
            raise BrokerRefuses(
                f"mqtt.login or mqtt.ca_file cannot be used ({error.strerror})", hint="correct or repair the file"
            ) from error
        try:
            super()._client_connect()
        except ssl.SSLError as error:
            raise BrokerRefuses(f"the broker's TLS certificate is not accepted ({error.reason})") from error
        if self._abandoned:  # cancelled while the connection was being made
            self._loop.call_soon_threadsafe(self.abandon)

    def _on_connect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        granted = getattr(properties, "ReceiveMaximum", WINDOW)
        self.window = max(1, min(WINDOW, granted))
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        super()._on_disconnect(client, userdata, flags, reason_code, properties)
        self._fetch_errors()

    def _fetch_errors(self) -> None:
        # aiomqtt may drop these futures unread, and asyncio then complains that nobody fetched their exceptions.
        for future in (self._connected, self._disconnected):
            if future.done() and not future.cancelled():
                future.exception()

    def _on_publish(
        self, client: paho.Client, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties
    ) -> None:
        future = self._acks.pop(mid, None)
        if future is not None and not future.done():
            future.set_result(reason_code.value)
        super()._on_publish(client, userdata, mid, reason_code, properties)

    def _json(self) -> Properties | None:
        if self.version != V5:
            return None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ContentType = "application/json"
        return properties


def _password(login: LoginConfig) -> str | None:
    if login.password is not None:
        return login.password.get_secret_value()
    assert login.password_file is not None  # the configuration demands one of the two
    return login.password_file.read_text().partition("\n")[0]


def _text(error: Exception) -> str:
    cause = error.__cause__
    return str(cause) if cause is not None and str(cause) else str(error)
