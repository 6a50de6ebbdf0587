"""The operator's file: read strictly, refused with line, key, reason and fix, and never showing a secret."""

import re
from pathlib import Path

import pytest

from edged.config import BadConfig, CameraConfig, Config, RecorderConfig, load_config
from edged.config.load import key_lines
from edged.config.units import parse_duration, parse_size

SITE = """[site]
id = "s"
jurisdiction = "jilin"
repair_unit = "r"
superior_department = "d"
[[volume]]
id = "v1"
path = "VOLUME"
"""
BAD = sorted((Path(__file__).parent / "config_bad").glob("*.toml"))


def written(tmp_path: Path, text: str) -> Path:
    volume = tmp_path / "v1"
    volume.mkdir(exist_ok=True)
    path = tmp_path / "edged.toml"
    path.write_text(text.replace("VOLUME", str(volume)))
    return path


@pytest.mark.parametrize("bad", BAD, ids=lambda path: path.stem)
def test_a_bad_file_is_refused_with_line_key_reason_and_fix(bad: Path, tmp_path: Path) -> None:
    text = bad.read_text()
    expected = text.splitlines()[0].removeprefix("# expect: ")
    path = written(tmp_path, text)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadConfig) as refusal:
        load_config(path)
    assert expected in str(refusal.value)
    assert "hunter2" not in str(refusal.value)
    assert sorted(tmp_path.rglob("*")) == before, "reading a configuration touches nothing"


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, '[site]\nid = "A"\n[[volume]]\nid = "v1"\npath = "VOLUME"\nreserve = 5\n')
    with pytest.raises(BadConfig) as refusal:
        load_config(path)
    assert len(refusal.value.problems) >= 4


def test_the_annotated_example_loads(root: Path, tmp_path: Path) -> None:
    config = load_example(root, tmp_path, uncomment=False)
    assert config.site.jurisdiction == "jilin"
    assert config.discovery.adopt == "manual"


def test_the_example_names_every_key_and_its_true_default(root: Path, tmp_path: Path) -> None:
    """Commented keys show their default: with them uncommented, the same configuration must come out."""
    plain = load_example(root, tmp_path, uncomment=False)
    full = load_example(root, tmp_path, uncomment=True)
    for table in ("site", "recorder", "retention", "metrics"):
        shown = getattr(full, table).model_dump()
        default = getattr(plain, table).model_dump()
        for key in ("rule_packs", "tls_ca", "keep_at_least"):  # left out by default, and then something else decides
            shown.pop(key, None)
            default.pop(key, None)
        assert shown == default, table


def test_the_example_shows_every_key_of_the_recorder_and_of_cameras(root: Path) -> None:
    text = (root / "config" / "edged.example.toml").read_text()
    for key in (*RecorderConfig.model_fields, *CameraConfig.model_fields):
        assert re.search(rf"^(# )?{key} = |^# \[camera.{key}\]", text, re.M), key


def test_a_camera_tells_how_it_is_recorded(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        SITE + "[recorder]\naudio = true\nprocesses = 8\n"
        '[[camera]]\nid = "c"\nurl = "rtsps://127.0.0.1/x"\nsub_url = "rtsp://127.0.0.1/y"\nsub = true\n'
        f'audio = false\ntls_pin = "{":".join(["AB"] * 32)}"\nredirect_hosts = ["127.0.0.2"]\n',
    )
    config = load_config(path)
    [camera] = config.camera
    assert (config.recorder.processes, config.recorder.audio, camera.audio, camera.sub) == (8, True, False, True)
    assert camera.tls_pin == "ab" * 32


def load_example(root: Path, tmp_path: Path, *, uncomment: bool) -> Config:
    text = (root / "config" / "edged.example.toml").read_text()
    lines = text.splitlines()
    if uncomment:
        lines = [
            line[2:] if line.startswith("# ") and ("= " in line or line.startswith("# [")) else line for line in lines
        ]
    for name in ("camera.password", "gate.password", "mqtt.password", "broker-ca.pem", "camera-ca.pem"):
        (tmp_path / name).touch()
    (tmp_path / "jurisdictions").mkdir(exist_ok=True)
    (tmp_path / "v1").mkdir(exist_ok=True)
    text = "\n".join(lines).replace("/etc/edged/", f"{tmp_path}/").replace("/srv/edged/v1", f"{tmp_path}/v1")
    path = tmp_path / "example.toml"
    path.write_text(text)
    return load_config(path)


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("10s", 10), ("5min", 300), ("1h", 3600), ("30d", 2592000), ("1.5h", 5400)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("bad", [10, 10.0, True, None, "10", "10 seconds", "-5s", "1h30", "s", ""])
def test_a_duration_without_a_unit_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match="unit"):
        parse_duration(bad)


def test_sizes() -> None:
    assert parse_size("5GiB") == 5 * 2**30
    with pytest.raises(ValueError, match="binary unit"):
        parse_size("5GB")


def test_lines_of_keys() -> None:
    lines = key_lines('[a]\nx = 1\n[[b]]\ny = """\nz = 1\n"""\n[[b]]\ny = 2\n[b.c]\nd.e = 3\n')
    assert lines["a", "x"] == 2
    assert lines["b", 0, "y"] == 4
    assert ("b", 0, "z") not in lines
    assert lines["b", 1, "y"] == 8
    assert lines["b", 1, "c", "d", "e"] == 10


def test_a_login_is_not_shown(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '[site]\nid="s"\njurisdiction="jilin"\nrepair_unit="r"\nsuperior_department="d"\n'
        '[[volume]]\nid="v1"\npath="VOLUME"\n'
        '[[camera]]\nid="c"\nurl="rtsp://127.0.0.1/x"\nlogin={username="u",password="hunter2"}\n',
    )
    assert "hunter2" not in repr(load_config(path))
