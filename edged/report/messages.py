"""Topics and payloads of MQTT: what is said, in which words, and what is never said (I9).

Topics: ``edged/v1/<site>/<recorder>/{birth,death,health,ledger,retention}``, ``…/camera/<id>``, ``…/outage/<id>``; all
retained, QoS 1.

Every payload is a JSON object that begins with the same fields:

``v``         version of this format, 1
``id``        unique message id, the same at every delivery of the message: drop what you have seen
``bd_seq``    counts connections; a birth and the death that ends it carry the same one, and so does another birth that
              announces a camera adopted since. A recorder is alive while its
              birth's ``bd_seq`` is above its death's; a late death with a lower one is to be ignored (Sparkplug B)
``seq``       counts the messages of one connection without holes: 0 the death left with the broker, 1 the birth
``at``        when it happened, ISO 8601 UTC; of a death with the reason ``lost``: when it was left with the broker,
              so believe your own clock instead
``boot_id``   the boot of the machine that sends
``historical``  true where an event waited for a broker that was away. A state is never history: only its newest is sent

``ledger`` carries the newest signed head of the ledger, a C2SP tlog-checkpoint, in ``checkpoint``, with its ``size``,
``root``, ``origin`` and the signing ``key``'s id beside it. Keep one: `edged ledger consistency` shows later whether
the ledger still continues it.

``retention`` looks ahead, volume by volume: what recordings may take, what the floors need of it, and when footage that
may not go will have filled it. ``alarm`` is true within the days ahead that ``retention.alarm_ahead`` gives.

Payloads are built from lists of allowed fields, each with the form its value must have. What is not listed, or does
not have the form, is left out: no camera address, credential, model, MAC or place name can come out by being put in.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from edged.base.log import redact
from edged.model import Cause

VERSION = 1
CAPABILITIES = ("birth", "death", "health", "camera", "outage", "ledger", "retention", "historical")

Check = Callable[[object], bool]
Forms = Mapping[str, Check]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_WORD = re.compile(r"[a-z][a-z_]{0,31}")
_RELEASE = re.compile(r"[0-9][0-9A-Za-z.+-]{0,31}")
# Of a ledger's head: the name of the log, a hash and a key id, and the signed note made of them.
_ORIGIN = re.compile(r"edged/[A-Za-z0-9_-]{1,64}/[A-Za-z0-9_-]{1,64}")
_ROOT = re.compile(r"[A-Za-z0-9+/]{43}=")
_KEY_ID = re.compile(r"[0-9a-f]{8}")
_NOTE = re.compile(
    rf"({_ORIGIN.pattern})\n(0|[1-9][0-9]*)\n{_ROOT.pattern}\n\n(\u2014 \1 [A-Za-z0-9+/]{{90,92}}={{0,2}}\n)"
)
_CAUSES = frozenset(cause.value for cause in Cause)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    # Some addresses and MACs have the form of an id, so both must agree.
    return isinstance(value, str) and pattern.fullmatch(value) is not None and redact(value) == value


def _opaque(value: object) -> bool:
    return _matches(_ID, value)


def _word(value: object) -> bool:
    return _matches(_WORD, value)


def _release(value: object) -> bool:
    return _matches(_RELEASE, value)


def _form(pattern: re.Pattern[str]) -> Check:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole_or_none(value: object) -> bool:
    return value is None or _whole(value)


def _cause(value: object) -> bool:
    return value is None or (isinstance(value, str) and value in _CAUSES)


def _opaque_or_none(value: object) -> bool:
    return value is None or _opaque(value)


def _each(check: Check) -> Check:
    return lambda value: isinstance(value, list | tuple) and all(check(item) for item in value)


def _object(forms: Forms) -> Check:
    return lambda value: (
        isinstance(value, Mapping) and all(key in forms and forms[key](item) for key, item in value.items())
    )


_VOLUME: Forms = {
    "volume": _opaque,
    "online": _flag,
    "size_bytes": _whole_or_none,
    "free_bytes": _whole_or_none,
    "cameras_stopped": _whole,
}

_FORECAST: Forms = {
    "volume": _opaque,
    "room_bytes": _whole,
    "needed_bytes": _whole,
    "enough": _flag,
    "full_us": _whole_or_none,
    "alarm": _flag,
}

# Times end in _us and are integer microseconds UTC, as in the API; `at` alone is ISO 8601, for people who look.
FORMS: Mapping[str, Forms] = {
    "birth": {
        "version": _release,
        "started_us": _whole,
        "cameras": _each(_opaque),
        "capabilities": _each(_word),
    },
    "death": {"reason": _word},
    "health": {
        "at_us": _whole,
        "version": _release,
        "started_us": _whole,
        "problems": _each(_word),
        "cameras": _whole,
        "cameras_recording": _whole,
        "outages_open": _whole,
        "outages_overdue": _whole,
        "outages": _each(_opaque),
        "volumes": _each(_object(_VOLUME)),
        "recorder_online": _flag,
        "index_full": _flag,
        "ledger_behind": _each(_opaque),
        "ledger_rewritten": _flag,
        "archive_incomplete": _flag,
        "retention_clock_trusted": _flag,
        "hold_active": _whole,
        "hold_reminders": _each(_opaque),
        "footage_altered": _whole,
        "event_loop_lag_us": _whole,
        "mqtt_connected": _flag,
        "mqtt_outbox_messages": _whole,
    },
    "retention": {"alarm": _flag, "volumes": _each(_object(_FORECAST))},
    "camera": {
        "camera": _opaque,
        "state": _word,
        "since_us": _whole_or_none,
        "cause": _cause,
        "recording": _flag,
        "outage": _opaque_or_none,
        "floor_days": _whole_or_none,
    },
    "ledger": {
        "at_us": _whole,
        "origin": _form(_ORIGIN),
        "key": _form(_KEY_ID),
        "size": _whole,
        "root": _form(_ROOT),
        "checkpoint": _form(_NOTE),
    },
    "outage": {
        "outage": _opaque,
        "camera": _opaque,
        "stream": _word,
        "event": _word,
        "at_us": _whole,
        "state": _word,
        "cause": _cause,
        "t0_us": _whole,
        "opened_us": _whole,
        "report_due_us": _whole,
        "reported_us": _whole_or_none,
        "attend_within_us": _whole_or_none,
        "attend_due_us": _whole_or_none,
        "attended_us": _whole_or_none,
        "good_since_us": _whole_or_none,
        "restored_us": _whole_or_none,
        "closed_us": _whole_or_none,
        "overdue": _each(_word),
        "flaps": _whole,
    },
}

_ONE_OF_MANY = ("camera", "outage")  # kinds whose topic ends with the id of one


def base_topic(site: str, recorder: str) -> str:
    """What every topic of this recorder begins with, without the last slash."""
    return f"edged/v{VERSION}/{site}/{recorder}"


def topic_allowed(topic: str) -> bool:
    """Whether `topic`, relative to the recorder, is one of those described here, with an opaque id."""
    kind, slash, which = topic.partition("/")
    if kind in _ONE_OF_MANY:
        return _opaque(which)
    return kind in FORMS and not slash


def clean(topic: str, facts: Mapping[str, object]) -> tuple[dict[str, object], list[str]]:
    """What of `facts` may be said on `topic` (relative to the recorder), and the names of what was left out (I9)."""
    forms = FORMS[topic.partition("/")[0]]
    said = {key: value for key, value in facts.items() if key in forms and forms[key](value)}
    return said, sorted(set(facts) - set(said))


def payload(
    topic: str,
    facts: Mapping[str, object],
    *,
    message_id: str,
    bd_seq: int,
    seq: int,
    at_us: int,
    boot_id: str,
    historical: bool = False,
) -> str:
    """The JSON sent on `topic`; see the module's text for the fields that stand before `facts`."""
    said, _ = clean(topic, facts)
    envelope: dict[str, object] = {
        "v": VERSION,
        "id": message_id,
        "bd_seq": bd_seq,
        "seq": seq,
        "at": iso(at_us),
        "boot_id": boot_id,
    }
    if historical:
        envelope["historical"] = True
    return json.dumps(envelope | said, ensure_ascii=False, separators=(",", ":"))


def iso(at_us: int) -> str:
    """`at_us` as ISO 8601 in UTC with milliseconds, such as 2031-05-06T07:08:09.123Z."""
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
