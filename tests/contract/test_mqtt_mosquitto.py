"""Hostile, hung and locked brokers, on a real mosquitto: noticed, said, survived; nothing is lost and nobody waits."""

import asyncio
import datetime
import ipaddress
import logging
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edged.archive import outbox
from edged.report import session
from tests.brokers import listening, running_mosquitto, until
from tests.reporting import BASE, reporting

OUTAGE: dict[str, Any] = {"outage": "out-1", "camera": "cam-1", "event": "opened", "state": "outage"}


async def test_a_message_the_access_rules_refuse_is_noticed_kept_and_offered_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "RETRY_REFUSED_SECONDS", 0.2)
    rules = tmp_path / "acl"
    rules.write_text(
        f"topic write {BASE}/birth\ntopic write {BASE}/death\ntopic write {BASE}/camera/#\ntopic read edged/#\n"
    )
    with running_mosquitto(tmp_path / "broker", lines=(f"acl_file {rules}",)) as broker:
        async with (
            listening(broker.port) as ear,
            reporting(broker.port, tmp_path / "index.db") as running,
        ):
            began = time.monotonic()
            await running.say("outage/out-1", OUTAGE)  # PUBACK 135, not authorised
            await running.say("camera/cam-1", {"camera": "cam-1", "state": "down"}, latest=True)
            await until(lambda: running.reporter.tally.refused >= 1, "the refusal is noticed")
            await until(lambda: bool(ear.on("camera/cam-1")), "the others are not held up")
            await running.until_waiting(1)
            assert not ear.on("outage/")
            await until(lambda: running.reporter.tally.refused >= 2, "it is offered again")
            # Now and then, not in a tight loop: at once, and after each pause.
            assert running.reporter.tally.refused <= 1 + (time.monotonic() - began) / 0.2
            refusals = [r.getMessage() for r in caplog.records if "MQT-004" in r.getMessage()]
            assert refusals
            assert "reason 135" in refusals[0]
            assert "access rules" in refusals[0]

            rules.write_text(f"topic write {BASE}/#\ntopic read edged/#\n")
            broker.signal(signal.SIGHUP)
            await until(lambda: bool(ear.on("outage/out-1")), "it arrives once it is allowed")
            await running.until_waiting(0)
            assert len([r for r in caplog.records if "MQT-004" in r.getMessage()]) == len(refusals) == 1


async def test_a_hung_broker_keeps_nobody_waiting_and_hears_everything_later(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "broker") as broker:
        async with (
            listening(broker.port) as ear,
            reporting(broker.port, tmp_path / "index.db", timeout=0.5) as running,
        ):
            await until(lambda: bool(ear.on("birth")), "the birth")
            broker.signal(signal.SIGSTOP)
            started = time.monotonic()
            for number in range(50):
                await running.say(f"outage/out-{number}", OUTAGE | {"outage": f"out-{number}"})
            enqueued = time.monotonic() - started
            await until(lambda: not running.reporter.tally.connected, "the silence is noticed")
            assert enqueued < 2.0  # fifty durable transactions, and not one wait for the broker
            await running.until_waiting(50)
            broker.signal(signal.SIGCONT)
            await until(lambda: len(ear.once_by_id("outage/")) == 50, "all of it is heard")
            await running.until_waiting(0)
            assert [m["outage"] for m in ear.once_by_id("outage/")] == [f"out-{number}" for number in range(50)]


async def test_stopping_while_the_broker_hangs_takes_no_longer_than_its_limits(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "broker") as broker:
        async with reporting(broker.port, tmp_path / "index.db", timeout=0.5) as running:
            await until(lambda: running.reporter.tally.connected, "connected")
            broker.signal(signal.SIGSTOP)
            await running.say("outage/out-1", OUTAGE)
            running.reporter.stop()
            await asyncio.wait_for(running.task, 5)
            await running.until_waiting(1)


async def test_a_killed_broker_is_noticed_at_once_and_not_at_a_timeout(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "broker") as broker:
        async with reporting(broker.port, tmp_path / "index.db", timeout=30, longest_wait=0.2) as running:
            await until(lambda: running.reporter.tally.connected, "connected")
            broker.signal(signal.SIGKILL)
            await until(lambda: not running.reporter.tally.connected, "noticed long before the 30 s of a timeout")


async def test_a_blip_shorter_than_the_will_delay_is_no_death(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "broker") as broker:
        async with listening(broker.port) as ear:
            async with reporting(broker.port, tmp_path / "index.db", will_delay_seconds=3):
                await until(lambda: len(ear.on("birth")) == 1, "the birth")
            cut = time.monotonic()  # leaving the block cuts the socket without a word
            async with reporting(broker.port, tmp_path / "index.db", will_delay_seconds=3):
                await until(lambda: len(ear.on("birth")) == 2, "the second birth")
                await until(lambda: time.monotonic() - cut > 4, "the delay is over")
                assert not ear.on("death")
            await until(lambda: len(ear.on("death")) == 1, "the will, once nobody came back")
            assert ear.on("death")[0]["bd_seq"] == 2


async def test_a_storm_of_outages_is_out_within_a_second(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "broker") as broker:
        async with (
            listening(broker.port) as ear,
            reporting(broker.port, tmp_path / "index.db") as running,
        ):
            await until(lambda: bool(ear.on("birth")), "the birth")

            def all_at_once(connection: Any) -> None:
                for number in range(256):
                    outbox.enqueue(connection, f"outage/out-{number}", OUTAGE | {"outage": f"out-{number}"}, False, 1)

            await running.database.write(all_at_once)
            running.reporter.wake()
            await until(lambda: len(ear.on("outage/")) == 256, "all heard")
            assert not any("historical" in message for message in ear.on("outage/"))


async def test_a_login_and_tls_are_used_and_a_wrong_one_is_said_to_be_wrong(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    authority = a_certificate(tmp_path)
    people = tmp_path / "people"
    people.touch(mode=0o600)
    subprocess.run(["mosquitto_passwd", "-b", str(people), "edged", "correct-horse"], check=True, capture_output=True)
    secret = tmp_path / "secret"
    secret.write_text("correct-horse\n")
    lines = (
        "allow_anonymous false",
        f"password_file {people}",
        f"certfile {tmp_path}/server.pem",
        f"keyfile {tmp_path}/server.key",
    )
    login = {"username": "edged", "password_file": str(secret)}
    tls = {"tls": True, "ca_file": str(authority)}
    with running_mosquitto(tmp_path / "broker", lines=lines) as broker:
        async with reporting(broker.port, tmp_path / "index.db", config=tls | {"login": login}) as running:
            await until(lambda: running.reporter.tally.published == 1, "the birth is acknowledged")
        wrong = login | {"password_file": None, "password": "battery-staple"}
        async with reporting(broker.port, tmp_path / "index.db", config=tls | {"login": wrong}) as running:
            await until(lambda: "MQT-002" in caplog.text, "the refused login is reported")
            assert not running.reporter.tally.connected
        caplog.clear()
        async with reporting(broker.port, tmp_path / "index.db", config={"tls": True, "login": login}) as running:
            await until(lambda: "certificate is not accepted" in caplog.text, "the unknown authority is reported")
            assert not running.reporter.tally.connected
    assert "correct-horse" not in caplog.text
    assert "battery-staple" not in caplog.text


def a_certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 in `folder`; returns the file a client trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker of a test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "server.pem").write_bytes(pem)
    (folder / "server.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "server.pem"
