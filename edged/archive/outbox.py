"""What MQTT still has to hear, kept in the index so that an act and its message are one transaction.

Whoever acts only enqueues, inside the transaction of the act; the reporter delivers and removes. A row leaves after
the broker's acknowledgement, never before, so a message may be delivered twice and carries the same id both times.

Two kinds of message. A *state* (``latest``) is worth only its newest value: enqueueing it replaces the one still
waiting, so states are bounded by the number of topics. An *event* is worth every value: each is delivered, in order,
and only the disk bounds how many may wait (nothing about an outage is lost while the broker is away).

Topics are relative to the recorder, such as ``camera/cam-1`` or ``outage/…``; the reporter knows what stands before.
"""

import json
import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edged.archive import meta
from edged.base.clock import DAY

# Brokers write their retained messages to disk now and then (mosquitto: every 30 minutes), so after a power cut one
# may come back with an outage that has long been closed. Said again for a day, the last word wins.
REMEMBER_CLOSED_US = DAY

_KEPT = "outbox.retained."  # meta key: the last delivered message of a topic
_EPOCH = "outbox.epoch"
_BD_SEQ = "outbox.bd_seq"
_OFF = "outbox.off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """A message as it waits, or as it was last delivered."""

    seq: int
    id: str  # unique over all time, and the same at every delivery of this message
    topic: str
    body: Mapping[str, object]
    latest: bool
    created_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a new connection to the broker begins with."""

    bd_seq: int  # counts the connections ever tried; pairs a birth with its death (Sparkplug B 3.0, 6.4.4)
    epoch: str  # names this outbox: a rebuilt index starts its counters anew, but never repeats an id


def enqueue(
    connection: sqlite3.Connection, topic: str, payload: Mapping[str, object] | str, latest: bool, now_us: int
) -> int:
    """Queue `payload` (an object, or its JSON) for `topic`; returns its number, or 0 where no broker is configured.

    Call it inside the transaction of what it tells about. With `latest` it takes the place of the state of the same
    topic that still waits. Raises ValueError where the text is not a JSON object.
    """
    if isinstance(payload, str) and not isinstance(json.loads(payload), dict):
        raise ValueError(f"a message is a JSON object; the one for {topic.partition('/')[0]} is not")
    if meta.read(connection, _OFF) is not None:
        return 0
    text = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    if latest:
        connection.execute("DELETE FROM outbox WHERE topic = ? AND latest = 1", (topic,))
    row = connection.execute(
        "INSERT INTO outbox (topic, payload, latest, created_us) VALUES (?, ?, ?, ?) RETURNING seq",
        (topic, text, int(latest), now_us),
    ).fetchone()
    return int(row[0])


def pending(connection: sqlite3.Connection, limit: int, after: int = 0) -> list[Queued]:
    """The oldest `limit` waiting messages with a number above `after`, in the order they were queued."""
    epoch = _epoch(connection)
    rows = connection.execute(
        "SELECT seq, topic, payload, latest, created_us FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
    )
    return [
        Queued(
            seq=row["seq"],
            id=f"{epoch}-{row['seq']}",
            topic=row["topic"],
            body=json.loads(row["payload"]),
            latest=bool(row["latest"]),
            created_us=row["created_us"],
        )
        for row in rows
    ]


def acknowledged(connection: sqlite3.Connection, seqs: Sequence[int]) -> None:
    """The broker has these: take them out, and remember each topic's last for a broker that forgets (`retained`)."""
    epoch = _epoch(connection)
    for seq in sorted(seqs):
        row = connection.execute(
            "DELETE FROM outbox WHERE seq = ? RETURNING topic, payload, latest, created_us", (seq,)
        ).fetchone()
        if row is None:  # a newer state took its place while it was on the way
            continue
        kept = {
            "seq": seq,
            "id": f"{epoch}-{seq}",
            "body": json.loads(row["payload"]),
            "latest": bool(row["latest"]),
            "created_us": row["created_us"],
        }
        connection.execute(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
            " WHERE json_extract(excluded.value, '$.seq') > json_extract(value, '$.seq')",
            (_KEPT + row["topic"], json.dumps(kept, ensure_ascii=False, separators=(",", ":"))),
        )


def drop(connection: sqlite3.Connection, seqs: Sequence[int]) -> None:
    """Take out messages that can never be sent."""
    connection.executemany("DELETE FROM outbox WHERE seq = ?", [(seq,) for seq in seqs])


def retained(connection: sqlite3.Connection, now_us: int) -> list[Queued]:
    """The last delivered message of every topic, oldest first; forgets outages closed more than a day ago."""
    found = []
    for row in connection.execute(
        "SELECT key, value FROM meta WHERE key >= ? AND key < ?", (_KEPT, _KEPT[:-1] + "/")
    ).fetchall():
        kept = json.loads(row["value"])
        if kept["body"].get("state") == "closed" and kept["created_us"] < now_us - REMEMBER_CLOSED_US:
            meta.forget(connection, row["key"])
            continue
        found.append(Queued(topic=row["key"][len(_KEPT) :], **kept))
    return sorted(found, key=lambda message: message.seq)


def last_said(connection: sqlite3.Connection, prefix: str) -> dict[str, Mapping[str, object]]:
    """The newest body of every topic that begins with `prefix`, whether the broker has it or it still waits."""
    kept = connection.execute(
        "SELECT substr(key, ?) AS topic, json_extract(value, '$.body') AS payload FROM meta"
        " WHERE substr(key, 1, ?) = ?",
        (len(_KEPT) + 1, len(_KEPT + prefix), _KEPT + prefix),
    ).fetchall()
    queued = connection.execute(
        "SELECT topic, payload FROM outbox WHERE substr(topic, 1, ?) = ? ORDER BY seq", (len(prefix), prefix)
    ).fetchall()
    return {row["topic"]: json.loads(row["payload"]) for row in (*kept, *queued)}


def waiting(connection: sqlite3.Connection) -> int:
    """How many messages wait."""
    return int(connection.execute("SELECT count(*) FROM outbox").fetchone()[0])


def newest(connection: sqlite3.Connection) -> int:
    """The number of the newest message ever queued; 0 where there was none."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
    return 0 if row is None else int(row[0])


def next_session(connection: sqlite3.Connection) -> Session:
    """Begin a connection: its `bd_seq` is one more than that of any connection before, also over restarts."""
    bd_seq = int(meta.read(connection, _BD_SEQ) or 0) + 1
    meta.write(connection, _BD_SEQ, str(bd_seq))
    return Session(bd_seq=bd_seq, epoch=_epoch(connection))


def switch(connection: sqlite3.Connection, on: bool) -> None:
    """Say whether a broker is configured. Without one nothing is queued, and what waited is dropped."""
    if on:
        meta.forget(connection, _OFF)
    else:
        meta.write(connection, _OFF, "1")
        connection.execute("DELETE FROM outbox")


def _epoch(connection: sqlite3.Connection) -> str:
    epoch = meta.read(connection, _EPOCH)
    if epoch is None:
        epoch = secrets.token_hex(6)
        meta.write(connection, _EPOCH, epoch)
    return epoch
