"""Verdicts on differences: shown, true of the measured users alone, or open; and the seeds that a verdict rests on.

A p-value of single trainings speaks of these trainings on other users. Between-seed variance is not in it: where
training with another seed moves the metric by as much as drawing other users does, it is below .05 for one in six pairs
of equal systems, and for one in three where seeds move it twice as much. So a difference is *shown* only where every
side that depends on a seed was trained with at least `SEEDS_NEEDED` of them; `evaluation.bootstrap` has the test that
takes them as a factor. What depends on no seed, such as counts, needs one measurement.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from lexirec.evaluation.evaluator import Report

Verdict = Literal["above", "below", "above in these users", "below in these users", "open"]
"""`above` and `below` are shown; `… in these users` is significant, but rests on too few seeds; `open` is neither."""

SEEDS_NEEDED = 3
"""Fewest seeds of a side that depends on seeds: with two, the test is too liberal where seeds differ much."""
FEW_SEEDS = (
    "in these users: a learned side has fewer than three seeds, so verdict and interval say nothing about other seeds "
    "of its training; three or more on every learned side are needed to show a difference"
)
"""What a verdict `… in these users` leaves out."""


def verdict(value: float, p: float, level: float, seeds: Sequence[int | None]) -> Verdict:
    """Return the verdict on a difference.

    Args:
        value: the difference.
        p: its p-value, corrected where there are several.
        level: confidence level, such as .95.
        seeds: `training_seeds` of both sides.
    """
    if not p < 1 - level:
        return "open"
    if enough(seeds):
        return "above" if value > 0 else "below"
    return "above in these users" if value > 0 else "below in these users"


def enough(seeds: Sequence[int | None]) -> bool:
    """Return whether every side has the seeds that a shown difference needs."""
    return all(each is None or each >= SEEDS_NEEDED for each in seeds)


def training_seeds(reports: Sequence[Report]) -> int | None:
    """Return with how many seeds a system was trained; None where its results depend on no seed.

    Reports with equal seeds count once, and so do reports with equal ranks: a seed that is fixed in the experiment file
    gives the same system again. A card that does not say (`card_seeds`) is taken for that of a trained system.

    Args:
        reports: evaluations of the system, one per seed.
    """
    said = [card_seeds(report.protocol) for report in reports]
    ranks = len({report.ranks.tobytes() for report in reports})
    if ranks == 1 and all(seeds is not None and not seeds for seeds in said):
        return None
    known = {tuple(sorted(seeds.items())) for seeds in said if seeds}
    return min(ranks, len(known)) if all(said) else ranks


def card_seeds(card: Mapping[str, Any]) -> dict[str, int] | None:
    """Return the seeds behind a recommender by name, from its protocol card; None where the card does not say.

    That is the card's own entry `seeds`, or else every setting called `seed` among its `settings` and those of its
    `parts`.
    """
    if "seeds" in card:
        return dict(card["seeds"])
    if "settings" not in card:
        return None
    return dict(seed_settings({name: card[name] for name in ("settings", "parts") if name in card}))


def seed_settings(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, int]]:
    """Yield every setting called `seed` in nested settings, as `a.b.seed` and its value."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from seed_settings(value, f"{above}{name}.")
        elif name == "seed" and value is not None:
            yield f"{above}{name}", value
