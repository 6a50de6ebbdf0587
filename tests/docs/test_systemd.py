"""The units are accepted by systemd, sandboxed, and a controller restart cannot touch the recorder."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = ["edged.service", "edged-recorder@.service"]
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


@needs_systemd
def test_systemd_accepts_the_units(root: Path, tmp_path: Path) -> None:
    for unit in UNITS:
        # The binary need not be installed here: only its path is exchanged.
        text = (root / "systemd" / unit).read_text().replace("/usr/bin/edged ", f"{shutil.which('true')} ")
        (tmp_path / unit).write_text(text)
    verified = subprocess.run(
        ["systemd-analyze", "verify", *(str(tmp_path / unit) for unit in UNITS)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (verified.returncode, verified.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("unit", UNITS)
def test_the_exposure_is_at_most_two(root: Path, unit: str) -> None:
    said = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(root / "systemd" / unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    ).stdout
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert found is not None, said
    assert float(found[1]) <= 2.0


def test_nothing_in_the_recorders_unit_depends_on_the_controller(root: Path) -> None:
    """I6: only the comment may speak of edged.service."""
    lines = (root / "systemd" / "edged-recorder@.service").read_text().splitlines()
    assert not [line for line in lines if "edged.service" in line and not line.startswith("#")]
    controller = (root / "systemd" / "edged.service").read_text()
    assert not re.search(r"^(BindsTo|Requires|PartOf|PropagatesStopTo)=", controller, re.M)
    assert "--external-recorder" in controller


@pytest.mark.parametrize("unit", UNITS)
def test_what_is_refused_is_not_started_again_and_again(root: Path, unit: str) -> None:
    """RestartPreventExitStatus= is about the main process alone: a check before it would be repeated for ever."""
    text = (root / "systemd" / unit).read_text()
    assert "\nRestartPreventExitStatus=2\n" in text
    assert not re.search(r"^ExecStartPre=", text, re.M)


def test_i4_a_reload_of_the_recorder_hands_over(root: Path) -> None:
    """I4: tests/crash/test_handover.py shows what the signal does, and what systemd is told."""
    assert "\nExecReload=/bin/kill -HUP $MAINPID\n" in (root / "systemd" / "edged-recorder@.service").read_text()


def test_make_install_puts_everything_where_systemd_looks(root: Path) -> None:
    """Every file of systemd/, the example configuration, and what runs from the locked versions alone."""
    said = subprocess.run(
        ["make", "--dry-run", "install", "PREFIX=/opt/other"], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    for path in sorted((root / "systemd").rglob("*.*")):
        if path.is_file():
            assert f" {path.relative_to(root)}" in said, path
    assert " config/edged.example.toml" in said
    assert "/opt/other/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes" in said
    assert "sed -i 's,/usr/bin/edged,/opt/other/bin/edged,'" in said


def test_the_units_call_commands_and_options_that_exist(root: Path) -> None:
    from edged.cli import build_parser

    calls = [
        line.partition("=")[2].split()[1:]
        for unit in UNITS
        for line in (root / "systemd" / unit).read_text().splitlines()
        if line.startswith("Exec") and "/usr/bin/edged" in line
    ]
    assert len(calls) == 2
    for call in calls:
        build_parser().parse_args(call)
