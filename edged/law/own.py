"""Whether what the operator asks for is as much as the law demands. Pure."""

import datetime as dt

from edged.config import Config
from edged.config.load import Key, Problem
from edged.law.cited import cite
from edged.law.floor import resolve_floor
from edged.law.packs import Packs
from edged.model import Situation


def below_the_law(config: Config, packs: Packs, on: dt.date) -> list[Problem]:
    """Each `keep_at_least` that is less than the law's own minimum on the day `on`, with the article that says so, and
    each camera's that is less than the site's.

    It would be without effect, because the larger counts; but whoever wrote it believes that footage goes sooner.
    """
    site = config.retention.keep_at_least or 0
    asked: list[tuple[Key, int | None, Situation]] = [
        (("retention", "keep_at_least"), config.retention.keep_at_least, config.situation())
    ]
    asked += [
        (("camera", index, "keep_at_least"), camera.keep_at_least, config.situation(camera))
        for index, camera in enumerate(config.camera)
    ]
    problems: list[Problem] = []
    for key, days, situation in asked:
        if days is not None and days < site:
            reason = f"{days} days are fewer than the {site} of retention.keep_at_least"
            problems.append((key, reason, "leave the key out, or ask for more"))
            continue
        decision = resolve_floor(packs, config.site.jurisdiction, situation.place, on, situation.designations)
        if days is not None and days < decision.legal.days:
            whose = ", ".join(cited.name for cited in cite(packs, decision.legal.rules))
            reason = f"{days} days are fewer than the {decision.legal.days} demanded here by {whose}"
            problems.append((key, reason, "leave the key out, or ask for more"))
    return problems
