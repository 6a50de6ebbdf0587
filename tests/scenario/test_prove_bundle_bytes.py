"""A bundle of which one byte was changed, added or taken away is ALTERED, whichever byte of whichever file it is."""

import ast
import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.base.clock import HOUR
from edged.prove import verify_retention
from edged.prove.verify_retention import verify_bundle
from tests.deep import examples
from tests.proving import DAY_US, box
from tests.retaining import START_US

NAMES = ("bundle.json", "checkpoint", "key.pem", "leaves.ndjson", "proofs.ndjson", "verify_retention.py")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A bundle, and the public key that signed it."""
    folder = tmp_path_factory.mktemp("bytes")

    async def make() -> bytes:
        async with box(folder / "site") as site:
            await site.record(START_US, DAY_US + 25 * HOUR, HOUR)
            await site.until(DAY_US + 26 * HOUR)
            await site.hours.one_pass()
            await site.bundle(folder / "bundle")
            return site.proofs.key.pem.encode()

    (folder / "site").mkdir()
    key = asyncio.run(make())
    report = verify_bundle(folder / "bundle", (), [key])
    assert report.verdict == "COMPLETE", report.findings
    assert {path.name for path in (folder / "bundle").iterdir()} == set(NAMES)
    return folder / "bundle", key


def altered(bundle: Path, name: str, content: bytes, keys: list[bytes]) -> None:
    """`content` in the place of one file: refused, with a reason that is not the name of a Python exception alone."""
    file = bundle / name
    before = file.read_bytes()
    assert content != before
    try:
        file.write_bytes(content)
        report = verify_bundle(bundle, (), keys)
        assert (report.verdict, len(report.findings)) == ("ALTERED", 1), (name, content, report)
    finally:
        file.write_bytes(before)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("trusted", [True, False], ids=["key given", "key of the bundle"])
@given(data=st.data())
@settings(max_examples=examples(150))
def test_any_byte_of_any_file_changed_is_detected(
    whole: tuple[Path, bytes], name: str, trusted: bool, data: st.DataObject
) -> None:
    bundle, key = whole
    content = (bundle / name).read_bytes()
    at = data.draw(st.integers(0, len(content) - 1), "at")
    byte = data.draw(st.binary(min_size=1, max_size=1).filter(lambda one: one != content[at : at + 1]), "byte")
    how = data.draw(st.sampled_from(["changed", "added", "taken away"]), "how")
    changed = {
        "changed": content[:at] + byte + content[at + 1 :],
        "added": content[: at + 1] + byte + content[at + 1 :],
        "taken away": content[:at] + content[at + 1 :],
    }[how]
    altered(bundle, name, changed, [key] if trusted else [])


@pytest.mark.parametrize("name", ["checkpoint", "key.pem"])
def test_every_single_byte_of_what_the_trust_hangs_on(whole: tuple[Path, bytes], name: str) -> None:
    bundle, key = whole
    content = (bundle / name).read_bytes()
    for at in range(len(content)):
        changed = bytearray(content)
        changed[at] ^= 1 << at % 7
        altered(bundle, name, bytes(changed), [key] if at % 2 else [])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b" ", b"\0"])
def test_what_hangs_on_a_file_or_lacks_at_its_end(whole: tuple[Path, bytes], name: str, end: bytes) -> None:
    bundle, key = whole
    content = (bundle / name).read_bytes()
    altered(bundle, name, content[:-1] if not end else content + end, [key])
    altered(bundle, name, content.replace(b"\n", b"\r\n"), [key])


@pytest.mark.parametrize("name", ["bundle.json", "checkpoint", "leaves.ndjson", "proofs.ndjson"])
def test_a_damaged_bundle_is_told_without_a_traceback(whole: tuple[Path, bytes], tmp_path: Path, name: str) -> None:
    """As an inspector meets it: the script, its words and its exit code."""
    bundle, _ = whole
    for content in (b"", b"\xff\xfe", b"[" * 100_000, b'{"v": 1}\n', None):
        copy = tmp_path / "copy"
        shutil.copytree(bundle, copy, dirs_exist_ok=True)
        (copy / name).unlink()
        if content is not None:
            (copy / name).write_bytes(content)
        script = [sys.executable, "-I", verify_retention.__file__, str(copy), "--json"]
        done = subprocess.run(script, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stderr) == (1, ""), done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        assert (told["verdict"], len(told["findings"])) == ("ALTERED", 1)


def test_the_script_keeps_to_what_python_3_8_understands() -> None:
    """An inspector's laptop is old; what it imports of the standard library is in test_prove_day."""
    ast.parse(Path(verify_retention.__file__).read_text(), feature_version=(3, 8))


@pytest.mark.parametrize("version", ["3.8", "3.13"])
def test_the_script_runs_under_other_pythons(whole: tuple[Path, bytes], version: str) -> None:
    python = shutil.which(f"python{version}")
    probe = [str(python), "-W", "ignore", "-c", "import cryptography"]
    if python is None or subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        pytest.skip(f"no python{version} with cryptography on this machine")
    bundle, _ = whole
    words = [str(python), "-W", "ignore", "-I", verify_retention.__file__, str(bundle)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("COMPLETE  camera cam-1"), done.stdout
