"""The Merkle tree's arithmetic against the definition of RFC 6962 section 2.1, and proofs against their verifier."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.archive import merkle
from edged.prove.verify_retention import Head, verify_consistency, verify_inclusion

# The tree that every implementation of RFC 6962 is tested with: inputs, and the root of the first 1 to 8 of them.
INPUTS = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def leaves(count: int) -> list[bytes]:
    return [merkle.leaf_hash(b"%d" % number) for number in range(count)]


def naive_root(hashes: list[bytes]) -> bytes:
    """The recursive definition, word for word."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return hashlib.sha256(b"\1" + naive_root(hashes[:split]) + naive_root(hashes[split:])).digest()


def prove(ranges: list[merkle.Range], hashes: list[bytes]) -> list[bytes]:
    return [naive_root(hashes[first:end]) for first, end in ranges]


def head(hashes: list[bytes]) -> Head:
    return Head("edged/test", len(hashes), naive_root(hashes))


@pytest.mark.parametrize("count", range(1, 9))
def test_the_known_tree_has_the_known_roots(count: int) -> None:
    frontier = merkle.Frontier()
    for data in INPUTS[:count]:
        frontier.add(merkle.leaf_hash(data))
    assert frontier.root().hex() == ROOTS[count - 1]


def test_the_empty_tree() -> None:
    assert merkle.Frontier().root() == merkle.EMPTY_ROOT == naive_root([])


@given(st.integers(1, 300), st.data())
def test_every_range_of_a_proof_is_put_together_from_complete_subtrees(size: int, data: st.DataObject) -> None:
    hashes = leaves(size)
    index = data.draw(st.integers(0, size - 1))
    for first, end in merkle.inclusion(index, size):
        parts = merkle.pieces(first, end)
        joined = merkle.join(
            [merkle.complete(hashes[number << height : (number + 1) << height]) for height, number in parts]
        )
        assert joined == naive_root(hashes[first:end])


@given(st.integers(1, 300), st.data())
def test_an_inclusion_proof_holds_for_its_leaf_alone(size: int, data: st.DataObject) -> None:
    hashes = leaves(size)
    index = data.draw(st.integers(0, size - 1))
    proof = prove(merkle.inclusion(index, size), hashes)
    assert verify_inclusion(hashes[index], index, proof, head(hashes))
    assert not verify_inclusion(merkle.leaf_hash(b"other"), index, proof, head(hashes))
    other = data.draw(st.integers(0, size).filter(lambda i: i != index))
    assert not verify_inclusion(hashes[index], other, proof, head(hashes))
    assert not verify_inclusion(hashes[index], index, [*proof, bytes(32)], head(hashes))
    if proof:
        assert not verify_inclusion(hashes[index], index, proof[:-1], head(hashes))
        spoilt = data.draw(st.integers(0, len(proof) - 1))
        proof[spoilt] = bytes(32)
        assert not verify_inclusion(hashes[index], index, proof, head(hashes))


@given(st.integers(0, 200), st.integers(0, 200), st.data())
def test_a_consistency_proof_holds_for_the_same_beginning_alone(old: int, more: int, data: st.DataObject) -> None:
    hashes = leaves(old + more)
    proof = prove(merkle.consistency(old, old + more), hashes)
    before, after = head(hashes[:old]), head(hashes)
    assert verify_consistency(before, after, proof)
    if old:
        rewritten = list(hashes)
        rewritten[data.draw(st.integers(0, old - 1))] = merkle.leaf_hash(b"rewritten")
        forged = prove(merkle.consistency(old, old + more), rewritten)
        assert not verify_consistency(before, head(rewritten), forged)
    if proof:
        spoilt = data.draw(st.integers(0, len(proof) - 1))
        assert not verify_consistency(before, after, [*proof[:spoilt], bytes(32), *proof[spoilt + 1 :]])
        assert not verify_consistency(before, after, proof[:-1])
    assert not verify_consistency(before, after, [*proof, bytes(32)])


def test_a_shorter_ledger_never_continues_a_longer_one() -> None:
    assert not verify_consistency(head(leaves(5)), head(leaves(4)), [])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 3)])
def test_there_is_no_proof_of_a_leaf_outside(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        merkle.inclusion(index, size)


def test_there_is_no_proof_of_a_future_beginning() -> None:
    with pytest.raises(ValueError, match="cannot begin"):
        merkle.consistency(6, 5)


def test_a_range_that_is_no_side_of_a_tree_is_refused() -> None:
    with pytest.raises(ValueError, match="not one side"):
        merkle.pieces(3, 7)
