"""What MQTT payloads say, and what cannot be made to come out (I9)."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.base.clock import HOUR
from edged.model import Cause, StreamKind
from edged.outage import view
from edged.outage.duties import Countdown, Outage, incident
from edged.outage.lifecycle import State
from edged.report import messages
from edged.report.health import birth_document, camera_document, health_document, removed_document
from tests.reporting import a_camera, a_snapshot

CONFIDENTIAL = {
    "address": "192.0.2.77",
    "host": "2001:db8::77",
    "url": "rtsp://user:hunter2@192.0.2.77/stream",
    "mac": "02-00-5e-10-00-01",
    "model": "DomeMaster-9000",
    "serial": "SER12345",
    "name": "north gate",
    "place": "Somewhere square",
    "password": "hunter2",
    "received_by": "A. Person",
    "report_basis": "Someplace art. 18(8)",
}


def sent(topic: str, facts: dict[str, object]) -> str:
    return messages.payload(topic, facts, message_id="e-1", bd_seq=1, seq=2, at_us=0, boot_id="boot-1")


def test_the_envelope_stands_first_and_times_are_utc() -> None:
    text = messages.payload(
        "outage/out-1",
        {"outage": "out-1", "event": "opened"},
        message_id="e-7",
        bd_seq=3,
        seq=9,
        at_us=1_790_000_000_123_456,
        boot_id="boot-1",
        historical=True,
    )
    assert list(json.loads(text).items()) == [
        ("v", 1),
        ("id", "e-7"),
        ("bd_seq", 3),
        ("seq", 9),
        ("at", "2026-09-21T14:13:20.123Z"),
        ("boot_id", "boot-1"),
        ("historical", True),
        ("outage", "out-1"),
        ("event", "opened"),
    ]


@pytest.mark.parametrize("topic", ["birth", "death", "health", "camera/cam-1", "outage/out-1"])
def test_i9_nothing_confidential_comes_out_under_its_own_name(topic: str) -> None:
    text = sent(topic, dict(CONFIDENTIAL))
    for value in CONFIDENTIAL.values():
        assert value not in text


@pytest.mark.parametrize("topic", sorted(messages.FORMS))
@pytest.mark.parametrize("secret", sorted(set(CONFIDENTIAL.values()) - {"SER12345", "DomeMaster-9000", "hunter2"}))
def test_i9_nothing_confidential_comes_out_under_a_name_of_ours(topic: str, secret: str) -> None:
    # A bare word cannot be told from an opaque id; addresses, URLs, MACs and phrases can.
    for value in (secret, [secret], {"volume": secret}, [{"volume": secret}]):
        text = sent(topic, dict.fromkeys(messages.FORMS[topic], value))
        assert secret not in text


@given(st.text(max_size=40), st.sampled_from(sorted(messages.FORMS)))
def test_i9_no_free_text_comes_out(text: str, topic: str) -> None:
    said, left_out = messages.clean(topic, {**dict.fromkeys(messages.FORMS[topic], text), "note": text})
    assert "note" in left_out
    for value in said.values():
        assert isinstance(value, str)
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}", value)


@pytest.mark.parametrize(
    ("topic", "allowed"),
    [
        ("birth", True),
        ("camera/cam-1", True),
        ("outage/01HZX3", True),
        ("camera/192.0.2.77", False),
        ("camera/02-00-5e-10-00-01", False),
        ("camera/", False),
        ("camera", False),
        ("camera/cam-1/more", False),
        ("camera/+", False),
        ("health/cam-1", False),
        ("place/here", False),
        ("", False),
    ],
)
def test_i9_topics_carry_opaque_ids_only(topic: str, allowed: bool) -> None:
    assert messages.topic_allowed(topic) is allowed


def test_what_edged_itself_says_is_left_whole() -> None:
    outage = Outage(
        id="out-1",
        camera="cam-1",
        stream=StreamKind.MAIN,
        state=State.OUTAGE,
        cause=Cause.STALLED,
        t0_us=1,
        opened_us=2,
        report_due_us=3,
        report_basis="article",
        attend_within_us=2 * HOUR,
        attend_basis="article",
        attend_due_us=None,
        attended_us=None,
        attended_by=None,
        good_since_us=None,
        restored_us=None,
        restored_by=None,
        closed_us=None,
        flaps=0,
        reports=(),
        missed=frozenset(),
    )
    snapshot = a_snapshot(2)
    for topic, facts in (
        ("birth", birth_document(snapshot)),
        ("health", health_document(snapshot)),
        ("camera/cam-1", camera_document(a_camera(1, cause=Cause.CREDENTIALS, outage="out-1"))),
        ("camera/cam-1", removed_document("cam-1")),
        ("outage/out-1", view.message(incident(outage, Countdown(), 5, 5), "opened", 5)),
        ("death", {"reason": "lost"}),
    ):
        said, left_out = messages.clean(topic, facts)
        assert left_out == []
        assert said == facts
