"""Data splits into training sequences and evaluation cases: leave-last-out, global temporal or predefined.

Every split labels each event as train, validation or test, and `_split` turns the labels into sequences and cases, so
histories are cut in one place. A history holds *all* events of the user before the target, whatever their label, in
the order of the interactions; ties in time keep file order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import ArtifactError, DataError

# the name is also known by this module, where the class stood before
from lexirec.data.cases import Cases as Cases
from lexirec.data.sequences import Sequences, load_array

if TYPE_CHECKING:
    from lexirec.data.interactions import Interactions
    from lexirec.data.training_part import TrainingAndValidation

HELD_BACK = -1
"""Label of an event that is in histories but in no part."""
_MIN_EVENTS = 4
"""Events a user needs for one to be held back: two are validation and test targets, and one is left for training."""

TRAIN, VALIDATION, TEST = 0, 1, 2
"""Labels of events."""


@dataclass(frozen=True, eq=False)
class Split:
    """Training sequences, validation cases and test cases.

    Attributes:
        train: One row per user who has at least one training event.
        train_users: int64 (rows of train,), the user of each row.
        validation: Cases for choosing models and settings.
        test: Cases for reporting.
        n_items: Size of the catalogue.
        protocol: Entries of the protocol card about the data: split, tie rule, caps, counts, digest; JSON values only.
    """

    train: Sequences
    train_users: NDArray[np.int64]
    validation: Cases
    test: Cases
    n_items: int
    protocol: dict[str, Any]

    def save(self, folder: Path | str) -> None:
        """Write the split as arrays and `protocol.json` into `folder`."""
        target = Path(folder)
        self.train.save(target / "train")
        np.save(target / "train" / "users.npy", self.train_users, allow_pickle=False)
        self.validation.save(target / "validation")
        self.test.save(target / "test")
        for path, rows in self._excluded(target).items():
            if rows is not None:
                rows.save(path)
        card = {"n_items": self.n_items, "protocol": self.protocol}
        (target / "protocol.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path | str) -> Split:
        """Read what `save` wrote; raises ArtifactError where a file is missing or damaged."""
        source = Path(folder)
        try:
            card = json.loads((source / "protocol.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{source}: this is not a saved split ({error})") from error
        train, users = Sequences.load(source / "train"), load_array(source / "train" / "users.npy")
        validation, test = Cases.load(source / "validation"), Cases.load(source / "test")
        split = cls(train, users, validation, test, int(card["n_items"]), dict(card["protocol"]))
        rows = [Sequences.load(path) if path.is_dir() else None for path in split._excluded(source)]
        of_validation, of_test = (
            replace(validation, seen=rows[0], never=rows[1]),
            replace(test, seen=rows[2], never=rows[3]),
        )
        return replace(split, validation=of_validation, test=of_test)

    def _excluded(self, folder: Path) -> dict[Path, Sequences | None]:
        """Return the items that lists leave out by their folders; besides the cases, as what learns reads those."""
        parts = {"validation": self.validation, "test": self.test}
        return {
            folder / "excluded" / name / kind: rows
            for name, cases in parts.items()
            for kind, rows in (("seen", cases.seen), ("never", cases.never))
        }


def leave_last_out(interactions: Interactions, *, max_history: int = 20, hold_back: float = 0.0) -> Split:
    """Hold out each user's last event for test and the second last for validation.

    A test history ends with an event that no model was trained on (the validation target); a validation history ends
    with a training event, so validation overestimates trained models. `hold_back` corrects this for a share of the
    users: their newest training event stays in their histories but in no part, so that their validation cases resemble
    their test cases.

    Users with fewer than three events stay in the training part only and are counted in the protocol
    (`users_too_short`; `users_with_one_event` among them).

    Args:
        interactions: events of all users.
        max_history: newest items kept of each history.
        hold_back: share of the users with four events or more, drawn once, whose newest training event is held back.

    Source: GRAM (ACL 2025), §2.2–2.3 of our specification; the same rule as S³-Rec and P5.
    """
    lengths, ends = interactions.sequences.lengths, interactions.sequences.offsets[1:]
    labels = np.full(len(interactions.sequences.items), TRAIN, dtype=np.int8)
    long_enough = lengths >= 3
    labels[ends[long_enough] - 1] = TEST
    labels[ends[long_enough] - 2] = VALIDATION
    counts = {"users_too_short": int((~long_enough).sum()), "users_with_one_event": int((lengths == 1).sum())}
    rule: dict[str, Any] = {"split": "leave-last-out"}
    if hold_back > 0:
        events = held_back(interactions.sequences, hold_back)
        labels[events] = HELD_BACK
        rule |= {"hold_back": hold_back, "held_back_events": len(events)}
    return _split(interactions, labels, max_history, {**rule, **counts})


def held_back(sequences: Sequences, share: float) -> NDArray[np.int64]:
    """Draw a share of the users with four events or more, and return the positions of their third last events: int64.

    The draw has a fixed seed, so that an audit can repeat it.
    """
    eligible = np.flatnonzero(sequences.lengths >= _MIN_EVENTS)
    drawn = np.random.default_rng(0).choice(eligible, round(share * len(eligible)), replace=False)
    return np.asarray(sequences.offsets[1:][drawn] - 3, dtype=np.int64)


def global_temporal(
    interactions: Interactions,
    *,
    validation: float = 0.1,
    test: float = 0.1,
    cuts: tuple[float, float] | None = None,
    max_history: int = 20,
) -> Split:
    """Cut all users' events at the same two moments; a case belongs to the part its target's time falls into.

    The cuts are chosen so that about the given shares of all targets (events with a history) lie at or after them.
    Events at the same moment are never separated, so shares are met up to ties. A history may hold events of an
    earlier part, as it would in production.

    Args:
        interactions: Interactions with times.
        validation: Share of the targets between the two cuts.
        test: Share of the targets at or after the second cut.
        cuts: Moments in seconds since 1970: validation starts at the first, test at the second. Overrides the shares.
        max_history: Newest items kept of each history.

    Raises:
        DataError: The interactions have no times, or the cuts or shares are impossible.
    """
    times = interactions.times
    if times is None:
        raise DataError(
            "A global temporal split needs times, and the interactions have none; "
            "map the column, for example columns = {time = \"timestamp\"}, or use the split 'leave-last-out'."
        )
    starts = _cuts_by_share(interactions, times, validation, test) if cuts is None else cuts
    if not starts[0] <= starts[1]:
        raise DataError(f"The cuts of a temporal split must not decrease; they are {starts[0]} and {starts[1]}.")
    labels = np.full(len(times), TRAIN, dtype=np.int8)
    labels[times >= starts[0]] = VALIDATION
    labels[times >= starts[1]] = TEST
    rule = {"split": "global-temporal", "validation_from": float(starts[0]), "test_from": float(starts[1])}
    return _split(interactions, labels, max_history, rule)


def predefined_split(interactions: Interactions, *, max_history: int = 20) -> Split:
    """Use the split that came with the data: a column with train, validation or test for each event.

    Raises:
        DataError: The interactions have no such column.
    """
    if interactions.labels is None:
        raise DataError(
            "The split 'published' needs a column with train, validation or test for each event; "
            "map it, for example columns = {split = \"split_loo\"}, or use the split 'leave-last-out'."
        )
    return _split(interactions, interactions.labels, max_history, {"split": "published"})


def prefix_cases(train: Sequences, max_history: int = 20) -> Cases:
    """Return one case per training event with a history: target a_j, history a_1…a_{j−1} cut to the newest items.

    `users` are rows of `train`. Source: GRAM, §2.3 (131,413 cases on Amazon Beauty).
    """
    return _cases(train, np.arange(len(train.items), dtype=np.int64), max_history)


def _split(interactions: Interactions, labels: NDArray[np.int8], max_history: int, rule: Mapping[str, Any]) -> Split:
    sequences = interactions.sequences
    if max_history < 1:
        raise DataError(f"max_history is {max_history}; it must be at least 1.")
    kept = sequences.where(labels == TRAIN)
    users = np.flatnonzero(kept.lengths)
    train = kept if len(users) == len(kept) else kept.take(users)
    held_out = {part: np.flatnonzero(labels == part) for part in (VALIDATION, TEST)}
    parts = {part: _cases(sequences, events, max_history) for part, events in held_out.items()}
    dropped = sum(len(events) for events in held_out.values()) - sum(len(cases) for cases in parts.values())
    counts = {
        "users": len(sequences),
        "items": interactions.n_items,
        "interactions": len(sequences.items),
        "train_users": len(train),
        "train_interactions": len(train.items),
        "validation_cases": len(parts[VALIDATION]),
        "test_cases": len(parts[TEST]),
        "targets_without_history": dropped,
    }
    protocol = {**rule, "max_history": max_history, **counts, **interactions.protocol, "data": interactions.digest}
    return Split(train, users, parts[VALIDATION], parts[TEST], interactions.n_items, protocol)


def _cases(sequences: Sequences, events: NDArray[np.int64], max_history: int) -> Cases:
    """Return cases whose targets are the given events (positions in `sequences.items`), if they have a history."""
    users = np.searchsorted(sequences.offsets, events, side="right") - 1
    before = events - sequences.offsets[users]
    users, events, before = users[before > 0], events[before > 0], before[before > 0]
    lengths = np.minimum(before, max_history)
    return Cases(users, sequences.items[events], sequences.windows(events - lengths, lengths))


def _cuts_by_share(
    interactions: Interactions, times: NDArray[np.float64], validation: float, test: float
) -> tuple[float, float]:
    if not (validation >= 0 and test >= 0 and validation + test < 1):
        raise DataError(
            f"validation = {validation} and test = {test} are no shares; both must be at least 0, their sum below 1."
        )
    has_history = np.ones(len(times), dtype=bool)
    starts = interactions.sequences.offsets[:-1]
    has_history[starts[interactions.sequences.lengths > 0]] = False
    ordered = np.sort(times[has_history])
    if len(ordered) == 0:
        raise DataError("A temporal split needs users with at least two events; every user has one.")
    # The cut is the time of the first target of a part; a share of 0 puts it after the last event.
    bounds = np.append(ordered, ordered[-1] + 1.0)
    first_test = len(ordered) - round(len(ordered) * test)
    first_validation = first_test - round(len(ordered) * validation)
    return float(bounds[first_validation]), float(bounds[first_test])


def unseen_cases(split: Split | TrainingAndValidation) -> NDArray[np.bool_]:
    """Return which validation histories end with an event that is not in the training part: bool (C,).

    A history whose newest event is a training event ends with the same item as the user's training sequence and is not
    longer than it (the history is cut to the newest items).
    """
    cases = split.validation
    row_of = np.full(int(max(cases.users.max(initial=0), split.train_users.max(initial=0))) + 1, -1, dtype=np.int64)
    row_of[split.train_users] = np.arange(len(split.train_users))
    rows = row_of[cases.users]
    lengths = np.where(rows >= 0, split.train.lengths[rows], 0)
    newest = cases.histories.last(1).padded(1)[:, 0]
    trained = split.train.last(1).padded(1)[:, 0]
    same_end = (rows >= 0) & (newest == trained[rows])
    seen: NDArray[np.bool_] = same_end & (cases.histories.lengths <= lengths) | (cases.histories.lengths == 0)
    return ~seen
