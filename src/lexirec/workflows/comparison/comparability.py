"""Check that evaluations are comparable: same catalogue, cases, protocol and treatment of seen items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import ArtifactError
from lexirec.evaluation.evaluator import Report
from lexirec.pipeline.results import incomparable, protocol_difference

Systems = Mapping[str, Sequence[Report]]
"""Name -> reports of one system, one per training seed."""


def check_comparable(systems: Systems) -> NDArray[np.int64]:
    """Check that all reports are of the same cases and protocol; return the user of each case, (cases,).

    Raises:
        ArtifactError: they are not; the message names the difference.
    """
    (first, here), *others = [(name, report) for name, reports in systems.items() for report in reports]
    if "user" not in here.cases:
        raise ArtifactError(f"{first}: the report does not hold the users of its cases; evaluate again")
    for name, there in others:
        difference = _difference(here, there)
        if difference is not None:
            raise incomparable(first, name if name != first else f"another seed of {name}", difference)
    return np.asarray(here.cases["user"], dtype=np.int64)


def seen_items(report: Report) -> str:
    """Return the treatment of seen items, `excluded` or `included`."""
    return "excluded" if report.protocol.get("exclude_seen") else "included"


def _difference(here: Report, there: Report) -> str | None:
    if seen_items(here) != seen_items(there):
        return f"seen items {seen_items(here)} and {seen_items(there)}"
    difference = protocol_difference(here.protocol, there.protocol)
    if difference is not None:
        return difference
    if len(here.ranks) != len(there.ranks):
        return f"cases {len(here.ranks):,} and {len(there.ranks):,}"
    differing = [name for name in here.cases if not np.array_equal(here.cases[name], there.cases.get(name, []))]
    return f"cases with different {' and '.join(f'{name}s' for name in differing)}" if differing else None
