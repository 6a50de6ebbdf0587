"""Signed heads: the form others read, the key behind them, and a log that never contradicts itself."""

import base64
import json
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edged.archive import outbox
from edged.archive.ledger import LedgerKind, append
from edged.prove.checkpoints import LedgerRewritten, heads, sign_head
from edged.prove.desk import BadCheckpoint
from edged.prove.key import PRIVATE, PUBLIC, BadKey, LedgerKey, open_key
from edged.prove.verify_retention import Altered, key_id, parse_head, verify_checkpoint, verify_consistency
from edged.report.messages import clean
from tests.proving import ORIGIN, Box, box

# The verifier key of the signed-note format's own reference tests (golang.org/x/mod/sumdb/note).
KNOWN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Box]:
    async with box(tmp_path) as built:
        yield built


@pytest.fixture
def key(tmp_path: Path) -> LedgerKey:
    return open_key(tmp_path, ORIGIN)


async def grow(site: Box, count: int = 1) -> None:
    for _ in range(count):
        await site.house.database.write(append, 5, LedgerKind.DAEMON_START, {})


def test_key_ids_are_those_of_the_signed_note_format() -> None:
    name, number, encoded = KNOWN.split("+", 2)
    raw = base64.b64decode(encoded)
    assert raw[0] == 1, "Ed25519"
    assert key_id(name, Ed25519PublicKey.from_public_bytes(raw[1:])).hex() == number


def test_the_key_is_made_once_and_stays_secret(tmp_path: Path) -> None:
    key = open_key(tmp_path, ORIGIN)
    assert stat.S_IMODE((tmp_path / PRIVATE).stat().st_mode) == 0o600
    assert open_key(tmp_path, ORIGIN).pem == key.pem == (tmp_path / PUBLIC).read_text()
    assert "PRIVATE" not in key.pem
    name, number, encoded = key.verifier.split("+", 2)
    assert (name, number) == (ORIGIN, key.id)
    assert base64.b64decode(encoded)[0] == 1
    assert repr(key) == f"LedgerKey({ORIGIN!r})"


@pytest.mark.parametrize("content", ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_damaged_key_is_never_silently_replaced(tmp_path: Path, content: str) -> None:
    (tmp_path / PRIVATE).write_text(content)
    os.chmod(tmp_path / PRIVATE, 0o600)
    with pytest.raises(BadKey, match="damaged"):
        open_key(tmp_path, ORIGIN)
    assert (tmp_path / PRIVATE).read_text() == content


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    open_key(tmp_path, ORIGIN)
    os.chmod(tmp_path / PRIVATE, 0o640)
    with pytest.raises(BadKey, match="read by others"):
        open_key(tmp_path, ORIGIN)


async def test_a_head_has_the_form_of_a_tlog_checkpoint(site: Box) -> None:
    note = await site.proofs.head()
    lines = note.split("\n")
    size = (await site.house.sql("SELECT count(*) FROM ledger"))[0][0]
    assert lines[:2] == [ORIGIN, str(size)]
    assert lines[3] == ""
    assert lines[4].startswith(f"\u2014 {ORIGIN} ")
    assert lines[5:] == [""]
    head = verify_checkpoint(note, site.proofs.key.public)
    assert (head.origin, head.size) == (ORIGIN, size)


async def test_other_signatures_beside_ours_are_ignored_and_a_wrong_one_of_ours_is_not(site: Box) -> None:
    note = await site.proofs.head()
    witness = "\u2014 witness.example " + base64.b64encode(bytes(68)).decode() + "\n"
    assert verify_checkpoint(note + witness, site.proofs.key.public).size
    text, _, _ = note.rpartition("\n\n")
    wrong = base64.b64encode(bytes.fromhex(site.proofs.key.id) + bytes(64)).decode()
    with pytest.raises(Altered, match="signature is wrong"):
        verify_checkpoint(f"{text}\n\n\u2014 {ORIGIN} {wrong}\n", site.proofs.key.public)
    with pytest.raises(Altered, match="not signed by this key"):
        verify_checkpoint(f"{text}\n\n{witness}", site.proofs.key.public)
    with pytest.raises(Altered):
        verify_checkpoint(note.replace(lines_size(note), "999"), site.proofs.key.public)


def lines_size(note: str) -> str:
    return note.split("\n")[1]


@pytest.mark.parametrize(
    "note", ["", "x", "edged/a\n\n", "edged/a\n01\nAAAA\n\n\u2014 x y\n", "edged/a\n-1\n" + "A" * 43 + "=\n\n"]
)
def test_what_is_no_checkpoint_is_refused(note: str) -> None:
    with pytest.raises(Altered):
        parse_head(note)


async def test_a_head_is_signed_only_when_the_ledger_has_grown(site: Box) -> None:
    first = await site.proofs.head()
    assert await site.proofs.head() == first
    await grow(site)
    second = await site.proofs.head()
    assert parse_head(second).size == parse_head(first).size + 1
    assert [note for _, note in await site.house.database.read(heads)] == [first, second]


async def test_i9_a_head_goes_to_mqtt_in_the_same_transaction_whole(site: Box) -> None:
    note = await site.proofs.head()
    (message,) = await site.house.database.read(outbox.pending, 10)
    assert (message.topic, message.latest) == ("ledger", True)
    said, left_out = clean("ledger", message.body)
    assert left_out == []
    assert said["checkpoint"] == note
    for field, value in {"origin": "edged/a b/c", "root": "x", "key": "zz", "checkpoint": note + "10.0.0.1"}.items():
        assert clean("ledger", {field: value})[1] == [field]


async def test_a_ledger_that_was_rewritten_is_signed_no_more(site: Box) -> None:
    """A log never signs two heads that contradict each other; it says so instead."""
    await grow(site, 5)
    await site.proofs.head()
    for trigger in ("ledger_fixed", "ledger_kept"):
        await site.house.sql(f"DROP TRIGGER {trigger}")
    await site.house.sql("UPDATE ledger SET leaf = randomblob(32) WHERE seq = 3")
    await grow(site)
    with pytest.raises(LedgerRewritten, match="not those that were signed"):
        await site.proofs.head()
    assert await site.proofs.sign() is None
    assert "not those that were signed" in (await site.proofs.verify()).problems[-1]
    await site.house.sql("DELETE FROM ledger WHERE seq > 3")
    with pytest.raises(LedgerRewritten):
        await site.house.database.write(sign_head, site.proofs.key, 0)


async def test_law_29_an_old_head_detects_truncation_and_rewriting(site: Box, tmp_path: Path) -> None:
    """LAW.md section 12, 29: whoever kept a head finds out, even where the log was cut and signed anew."""
    await grow(site, 40)
    old = await site.proofs.head()
    await grow(site, 30)
    told = await site.proofs.prove_consistency(old)
    new = verify_checkpoint(told["checkpoint"], site.proofs.key.public)
    proof = [base64.b64decode(one) for one in told["hashes"]]
    assert verify_consistency(parse_head(old), new, proof)
    # somebody with the key and root on the box makes a history of his own, of any length
    for size, count in (("longer", 90), ("shorter", 10)):
        (tmp_path / size).mkdir()
        async with box(tmp_path / size) as forged:
            forged.proofs.key = site.proofs.key
            await grow(forged, count)
            told = await forged.proofs.prove_consistency(old)
            new = verify_checkpoint(told["checkpoint"], site.proofs.key.public)
            assert not verify_consistency(parse_head(old), new, [base64.b64decode(one) for one in told["hashes"]])


async def test_a_head_of_another_log_is_not_continued(site: Box, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    await grow(site)
    async with box(tmp_path / "other") as other:
        head = await other.proofs.head()
        told = await site.proofs.prove_consistency(head)  # it may be that of an earlier key: who has that one can tell
        new = parse_head(told["checkpoint"])
        assert not verify_consistency(parse_head(head), new, [base64.b64decode(one) for one in told["hashes"]])
        other.proofs.key = LedgerKey("edged/elsewhere/nvr", other.proofs.key.private)
        await grow(other)
        with pytest.raises(BadCheckpoint):
            await site.proofs.prove_consistency(await other.proofs.head())


async def test_a_new_key_goes_on_signing_the_same_ledger(site: Box, tmp_path: Path) -> None:
    await site.proofs.head()
    (tmp_path / "new").mkdir()
    site.proofs.key = open_key(tmp_path / "new", ORIGIN)
    await grow(site)
    verify_checkpoint(await site.proofs.head(), site.proofs.key.public)
    audit = await site.proofs.verify()
    assert (audit.heads, audit.problems) == (2, []), "what another key signed is still compared with the tree"


async def test_the_description_can_be_checked_with_itself(site: Box) -> None:
    told = await site.proofs.describe()
    assert json.dumps(told)
    assert told["key"] == site.proofs.key.pem
    assert told["mirrors"] == [{"volume": "disk-0", "behind": "not looked at yet"}]
