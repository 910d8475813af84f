"""Online figures: from rows of users and days to means with intervals, by variant and day, and how variants differ.

Whole users are resampled, as in the evaluation of experiments: the lists of one user resemble each other. People look
at these figures every day, so a variant is called better by a bound that holds at all looks together
(`evaluation.sequential`), not by the interval of one look.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.evaluation.bootstrap import Bootstrap, Resampled
from lexirec.evaluation.sequential import always_valid_detectable, always_valid_radius
from lexirec.evaluation.significance import compare_groups
from lexirec.serving.database.online_rows import OnlineRows
from lexirec.serving.schemas.evaluation import DayFigures, DifferenceFigure, Figure, Figures, VariantFigures

ACTIVE, CANDIDATE = "active", "candidate"
BOOTSTRAP = Bootstrap(replicates=2_000)
_OF_A_DAY = Bootstrap(replicates=500)
PLANNED = 0.1
"""Relative difference for which the bound of all looks is made narrow."""
FEWEST = 100
"""Users of each variant below which none is called better: standard errors of fewer are no basis."""
_EPOCH = datetime.date(1970, 1, 1)
Floats = NDArray[np.float64]


class _Users:
    """Some rows added up by user."""

    def __init__(self, rows: OnlineRows, chosen: NDArray[np.bool_], bootstrap: Bootstrap) -> None:
        users = rows.user[chosen]
        starts = np.flatnonzero(np.diff(users, prepend=-1))
        self._sums = np.add.reduceat(rows.sums[chosen].astype(np.float64), starts, axis=0) if len(users) else None
        self._rows, self._bootstrap = rows, bootstrap

    def __len__(self) -> int:
        return 0 if self._sums is None else len(self._sums)

    def column(self, name: str) -> Floats:
        """Return a column of `OnlineRows` by user."""
        found: Floats = np.empty(0) if self._sums is None else self._sums[:, self._rows.place(name)]
        return found

    def resampled(self, name: str, per: str = "impressions") -> Resampled | None:
        """Return the mean of a column over lists, or over what `per` counts; None with fewer than two users."""
        if len(self) < 2:
            return None
        return Resampled.of([self.column(name)[None, :]], self.column(per), self._bootstrap)

    def figure(self, name: str, per: str = "impressions") -> Figure | None:
        """Return the mean over lists, or over what `per` counts, with its interval."""
        lists = float(self.column(per).sum())
        if not lists:
            return None
        total = float(self.column(name).sum())
        resampled = self.resampled(name, per) if total else None
        if resampled is None:
            known = 0.0 if len(self) > 1 else None  # no user has any: every resample has none
            return Figure(value=_round(total / lists), low=known, high=known)
        low, high = resampled.percentiles()
        return Figure(value=_round(resampled.value), low=_round(low), high=_round(high))


def variant_figures(rows: OnlineRows, n_items: int) -> tuple[VariantFigures, ...]:
    """Return the figures of every variant, the active one first; `n_items` is the size of the catalogue."""
    found = []
    for variant in sorted(rows.variants):
        of_variant = rows.variant == rows.variants.index(variant)
        days = tuple(
            DayFigures(
                day=_EPOCH + datetime.timedelta(days=int(day)),
                **_figures(_Users(rows, of_variant & (rows.day == day), _OF_A_DAY), rows, (variant, int(day)), n_items),
            )
            for day in np.unique(rows.day[of_variant])
        )
        whole = _figures(_Users(rows, of_variant, BOOTSTRAP), rows, (variant, None), n_items)
        found.append(VariantFigures(variant=variant, days=days, **whole))
    return tuple(found)


def _figures(users: _Users, rows: OnlineRows, which: tuple[str, int | None], n_items: int) -> dict[str, Any]:
    shown = rows.shown.get(which, 0)
    plain = Figures(
        impressions=_total(users, "impressions"),
        users=int((users.column("known") > 0).sum()),
        hits=_total(users, "hits"),
        inferred=_total(users, "inferred"),
        ctr=users.figure("clicked"),
        mrr=users.figure("reciprocal"),
        conversions={
            kind: figure for kind in rows.types if (figure := users.figure(f"type:{kind}")) is not None and figure.value
        },
        fallback_share=users.figure("fallbacks"),
        new_item_share=users.figure("new", "places"),
        items_shown=shown,
        coverage=_round(min(1.0, shown / n_items)),
    )
    return dict(plain)


def _total(users: _Users, name: str) -> int:
    return round(float(users.column(name).sum()))


def _round(value: float) -> float:
    return round(value, 8)


def differences(rows: OnlineRows) -> tuple[DifferenceFigure, ...] | None:
    """Return how the candidate differs from the active variant; None where one of them has fewer than two users."""
    if not {ACTIVE, CANDIDATE} <= set(rows.variants):
        return None
    groups = [_Users(rows, rows.variant == rows.variants.index(name), BOOTSTRAP) for name in (CANDIDATE, ACTIVE)]
    names = {"ctr": "clicked", "mrr": "reciprocal"} | {f"conversion:{kind}": f"type:{kind}" for kind in rows.types}
    kept = {shown: name for shown, name in names.items() if any(group.column(name).any() for group in groups)}
    if any(len(group) < 2 for group in groups):
        return None
    # as many comparisons at every look, whatever was seen until then
    return tuple(_difference(shown, name, groups, len(names)) for shown, name in kept.items())


def _difference(shown: str, name: str, groups: Sequence[_Users], comparisons: int) -> DifferenceFigure:
    a, b = (group.resampled(name) for group in groups)
    assert a is not None, "groups of fewer than two users are not compared"
    assert b is not None, "groups of fewer than two users are not compared"
    found = compare_groups(a, b)
    low, high = found.interval
    pooled = float(sum(group.column(name).sum() for group in groups) / sum(map(_lists, groups)))
    error = found.standard_error
    radius = always_valid_radius(error, PLANNED * pooled, level=found.level, comparisons=comparisons)
    shown_at_all = math.isfinite(radius) and min(map(len, groups)) >= FEWEST
    clear = shown_at_all and abs(found.value) > radius
    return DifferenceFigure(
        metric=shown,
        value=_round(found.value),
        low=_round(low),
        high=_round(high),
        relative=_round(found.value / b.value) if b.value else None,
        smallest_difference=_round(radius) if shown_at_all else None,
        detectable_difference=_round(always_valid_detectable(radius, error)) if shown_at_all else None,
        verdict="open" if not clear else "above" if found.value > 0 else "below",
    )


def _lists(users: _Users) -> float:
    return float(users.column("impressions").sum())
