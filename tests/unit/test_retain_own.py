"""What the operator asks for beyond the law: a minimum of their own, and deletion by age; never less than the law."""

import datetime as dt
import sqlite3
from pathlib import Path

import pytest

from edged.archive.ledger import LedgerKind
from edged.archive.volumes import Space
from edged.base.clock import DAY, MINUTE
from edged.cli import main
from edged.config import Config, load_config
from edged.law.floor import OWN_KEEP_RULE, OWN_MINIMUM_RULE, resolve_floor
from edged.law.own import below_the_law
from edged.law.packs import Packs, load_packs, shipped_packs
from edged.model import Floor, OwnRule, Situation
from tests.retaining import START_US, house

ON = dt.date(2026, 11, 22)
BY_AGE = OwnRule(keep="floor")
SIXTY = OwnRule(at_least_days=60)


@pytest.fixture(scope="module")
def packs() -> Packs:
    return load_packs(shipped_packs())


# --- the floor and the ceiling ---------------------------------------------------------------------------------------


def test_the_operators_own_minimum_raises_the_floor_and_says_whose_it_is(packs: Packs) -> None:
    decision = resolve_floor(packs, "jilin", "other", ON, own_days=60)
    assert decision.floor == Floor(days=60, rules=(OWN_MINIMUM_RULE,))
    assert decision.legal == Floor(days=15, rules=("jilin-236/21-2",))
    assert (decision.ceiling_days, decision.warnings) == (None, ())


def test_it_moves_a_duty_to_delete_and_asks_for_the_purpose_on_record(packs: Packs) -> None:
    decision = resolve_floor(packs, "jilin", "listed", ON, own_days=60)
    assert (decision.floor.days, decision.ceiling_days) == (60, 60)
    (warning,) = decision.warnings
    assert "order-799/17-delete wants footage deleted after 30 days" in warning
    assert "have the purpose on record" in warning


@pytest.mark.parametrize("own_days", [1, 14, 29])
def test_i1_fewer_days_than_the_laws_are_without_effect_and_it_is_said(packs: Packs, own_days: int) -> None:
    decision = resolve_floor(packs, "jilin", "listed", ON, own_days=own_days)
    assert decision.floor == decision.legal == Floor(days=30, rules=("order-799/17",))
    assert any("without effect: the law demands 30" in warning for warning in decision.warnings)


def test_as_many_days_as_the_laws_stay_the_laws(packs: Packs) -> None:
    assert resolve_floor(packs, "jilin", "listed", ON, own_days=30).floor.rules == ("order-799/17",)


# --- through stamp, sweep and triggers -------------------------------------------------------------------------------


async def test_sixty_days_of_the_operators_own_are_kept_through_every_pass(tmp_path: Path) -> None:
    async with house(tmp_path, free=Space(2**40, 0)) as box:
        await box.camera("cam-a", own=SIXTY)
        key = await box.record("cam-a")  # on 2026-11-01: free from 12-31 + 1 = 2027-01-01 00:00
        await box.tick()
        box.clock.advance(60.5 * 86400)
        await box.one_pass()
        assert box.file(key).exists()
        box.clock.advance(86400)
        assert (await box.one_pass()).erased == 1
        entry = (await box.deletions())[key].body
        assert (entry["floor_days"], entry["rules"][0]) == (60, OWN_MINIMUM_RULE)


async def test_i1_taking_it_back_never_reaches_what_was_recorded_under_it(tmp_path: Path) -> None:
    async with house(tmp_path, free=Space(2**40, 0)) as box:
        await box.camera("cam-a", own=SIXTY)
        old = await box.record("cam-a")
        await box.tick()
        await box.one_pass()
        await box.camera("cam-a")
        new = await box.record("cam-a", START_US + MINUTE)
        box.clock.advance(40 * 86400)
        report = await box.one_pass()
        assert (report.raised, report.erased) == (0, 1)
        assert (box.file(old).exists(), box.file(new).exists()) == (True, False)
        with pytest.raises(sqlite3.IntegrityError, match="I1: a floor is never lowered"):
            await box.sql("UPDATE segment SET keep_until_us = keep_until_us - ?", 30 * DAY)
        with pytest.raises(sqlite3.IntegrityError, match="I1: the segment is younger than its floor"):
            await box.sql("UPDATE segment SET state = 2")


async def test_asking_for_more_raises_what_is_there_and_the_ledger_says_by_whose_rule(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        key = await box.record("cam-a")
        await box.one_pass()
        await box.camera("cam-a", own=SIXTY)
        assert (await box.one_pass()).raised == 1
        (entry,) = await box.told(LedgerKind.FLOOR_RAISED)
        assert (entry.body["days"], entry.body["rules"]) == (60, [OWN_MINIMUM_RULE])
        box.clock.advance(50 * 86400)
        assert (await box.one_pass()).erased == 0
        assert box.file(key).exists()


async def test_by_age_footage_goes_after_its_floor_and_grace_where_no_article_demands_it(tmp_path: Path) -> None:
    """Jilin, outside the list: 15 days, no duty to delete. 2026-11-01 + 15: free on 11-17, by age on 11-20."""
    async with house(tmp_path) as box:
        await box.camera("cam-a", "other", own=BY_AGE)
        await box.camera("cam-b", "other")
        by_age, until_full = await box.record("cam-a"), await box.record("cam-b")
        await box.tick()
        box.clock.advance(18 * 86400 + 16 * 3600 - 1)
        assert (await box.one_pass()).erased == 0
        box.clock.advance(1)
        assert (await box.one_pass()).erased == 1
        assert (box.file(by_age).exists(), box.file(until_full).exists()) == (False, True)
        entry = (await box.deletions())[by_age].body
        assert (entry["action"], entry["rules"]) == ("must_erase", ["jilin-236/21-2", OWN_KEEP_RULE])
        box.clock.advance(300 * 86400)
        assert (await box.one_pass()).erased == 0


async def test_until_full_is_no_way_round_a_duty_to_delete(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a", "listed", own=OwnRule(keep="until-full"))
        key = await box.record("cam-a")
        await box.tick()
        box.clock.advance(34 * 86400)
        assert (await box.one_pass()).erased == 1
        assert (await box.deletions())[key].body["rules"][-1] == "order-799/17-delete"


async def test_i1_i2_by_age_deletes_nothing_held_and_nothing_below_its_floor(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a", "other", own=OwnRule(at_least_days=40, keep="floor"))
        held, young = await box.record("cam-a"), await box.record("cam-a", START_US + 20 * DAY)
        await box.hold("cam-a", start_us=START_US - DAY, end_us=START_US + DAY)
        await box.tick()
        box.clock.advance(50 * 86400)
        assert (await box.one_pass()).erased == 0
        assert box.file(held).exists()
        assert box.file(young).exists()


# --- as configured ---------------------------------------------------------------------------------------------------

SITE = """[site]
id = "s"
jurisdiction = "jilin"
place = "PLACE"
repair_unit = "r"
superior_department = "d"
[[volume]]
id = "v1"
path = "VOLUME"
[discovery]
probe = ["127.0.0.1"]
"""


def written(tmp_path: Path, more: str, place: str = "listed") -> Path:
    (tmp_path / "v1").mkdir(exist_ok=True)
    path = tmp_path / "edged.toml"
    path.write_text(SITE.replace("PLACE", place).replace("VOLUME", str(tmp_path / "v1")) + more)
    return path


def configured(tmp_path: Path, more: str, place: str = "listed") -> Config:
    return load_config(written(tmp_path, more, place))


def test_a_camera_may_differ_from_the_site(tmp_path: Path) -> None:
    config = configured(
        tmp_path,
        '[retention]\nkeep = "floor"\nkeep_at_least = "40d"\n'
        '[[camera]]\nid = "a"\nkeep_at_least = "60d"\n[[camera]]\nid = "b"\nkeep = "until-full"\nplace = "other"\n',
    )
    assert config.situation() == Situation("listed", (), OwnRule(at_least_days=40, keep="floor"))
    assert config.situation(config.camera[0]).own == OwnRule(at_least_days=60, keep="floor")
    assert config.situation(config.camera[1]) == Situation("other", (), OwnRule(at_least_days=40))


def test_a_camera_asks_for_more_than_the_site_and_never_for_less(tmp_path: Path, packs: Packs) -> None:
    config = configured(tmp_path, '[retention]\nkeep_at_least = "60d"\n[[camera]]\nid = "a"\nkeep_at_least = "40d"\n')
    assert config.situation(config.camera[0]).own.at_least_days == 60
    ((key, reason, _),) = below_the_law(config, packs, ON)
    assert key == ("camera", 0, "keep_at_least")
    assert reason == "40 days are fewer than the 60 of retention.keep_at_least"


@pytest.mark.parametrize(
    ("more", "place", "said"),
    [
        (
            '[retention]\nkeep_at_least = "29d"\n',
            "listed",
            ":13: retention.keep_at_least: 29 days are fewer than the 30",
        ),
        ('[[camera]]\nid = "a"\nkeep_at_least = "29d"\n', "listed", ":14: camera[0].keep_at_least: 29 days are fewer"),
        ('[[camera]]\nid = "a"\nplace = "other"\nkeep_at_least = "14d"\n', "listed", "Jilin Order 236 art. 21(2)"),
        (
            '[[camera]]\nid = "a"\ndesignations = ["key_target"]\nkeep_at_least = "60d"\n',
            "listed",
            "the 90 demanded here by Counter-Terrorism Law art. 32",
        ),
    ],
)
def test_i1_fewer_days_than_the_laws_are_refused_naming_line_and_article(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: str, place: str, said: str
) -> None:
    path = written(tmp_path, more, place)
    assert main(["check-config", "--config", str(path)]) == 2
    assert said in (told := capsys.readouterr().err)
    assert "leave the key out, or ask for more" in told


@pytest.mark.parametrize(
    "more", ['[retention]\nkeep_at_least = "30d"\n', '[[camera]]\nid = "a"\nkeep_at_least = "5000d"\n']
)
def test_as_many_or_more_are_good(tmp_path: Path, capsys: pytest.CaptureFixture[str], more: str) -> None:
    assert main(["check-config", "--config", str(written(tmp_path, more))]) == 0
    assert "good" in capsys.readouterr().out


def test_what_is_enough_in_one_place_may_be_too_little_in_another(tmp_path: Path, packs: Packs) -> None:
    config = configured(
        tmp_path, '[retention]\nkeep_at_least = "20d"\n[[camera]]\nid = "a"\nplace = "listed"\n', "other"
    )
    assert below_the_law(config, packs, ON) == []
    assert resolve_floor(packs, "jilin", "listed", ON, own_days=20).floor.days == 30
