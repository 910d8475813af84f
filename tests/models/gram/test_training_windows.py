from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lexirec.data.loading import DataSettings, read_data, split_data
from lexirec.data.sequences import Sequences
from lexirec.data.splits import prefix_cases
from lexirec.models.gram.training import Windows, batches, packed_windows, windows_per_prefix

lengths = st.lists(st.integers(0, 40), max_size=12)
histories = st.integers(1, 9)


def rows_of(sizes: list[int]) -> Sequences:
    """Rows whose items say where they stand: 100 · row + place."""
    return Sequences.from_lists([[100 * row + place for place in range(size)] for row, size in enumerate(sizes)])


def predicted(windows: Windows) -> list[tuple[int, list[int]]]:
    """Every target with the history it is predicted from, as `LateFusion` reads a batch."""
    if not len(windows):
        return []
    batch = windows.batch(np.arange(len(windows)))
    pairs = []
    for items, places in zip(batch["items_BM"].tolist(), batch["targets_BQ"].tolist()):
        pairs += [(items[place], items[:place]) for place in places if place >= 0]
    return pairs


def prefixes(train: Sequences, max_history: int) -> list[tuple[int, list[int]]]:
    cases = prefix_cases(train, max_history)
    return [(int(target), cases.histories.row(case).tolist()) for case, target in enumerate(cases.targets)]


@settings(max_examples=80, deadline=None)
@given(lengths, histories)
def test_every_item_but_the_first_is_a_target_once(sizes, max_history):
    train = rows_of(sizes)
    for cut in (packed_windows, windows_per_prefix):
        targets = Counter(target for target, _ in predicted(cut(train, max_history)))
        assert targets == Counter(item for row in range(len(train)) for item in train.row(row)[1:].tolist())


@settings(max_examples=80, deadline=None)
@given(lengths, histories)
def test_histories_are_the_items_just_before_and_long_enough(sizes, max_history):
    """Those of the first window are GRAM's; later ones keep at least half of what may be read."""
    windows = packed_windows(rows_of(sizes), max_history)
    assert len(windows) == 0 or windows.rows.lengths.max() <= max_history + 1
    for target, history in predicted(windows):
        place = target % 100
        assert 1 <= len(history) <= max_history
        assert history == list(range(target - len(history), target))
        least = place if place <= max_history else max_history - max(1, max_history // 2)
        assert len(history) >= least


@settings(max_examples=80, deadline=None)
@given(lengths, histories)
def test_prefixes_one_by_one_are_those_of_the_split(sizes, max_history):
    train = rows_of(sizes)
    assert predicted(windows_per_prefix(train, max_history)) == prefixes(train, max_history)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 8), max_size=12), st.integers(7, 9))
def test_rows_that_fit_are_packed_whole(sizes, max_history):
    train = rows_of(sizes)
    windows = packed_windows(train, max_history)
    assert predicted(windows) == prefixes(train, max_history)
    assert len(windows) == sum(size >= 2 for size in sizes)


@settings(max_examples=60, deadline=None)
@given(lengths, histories, st.sampled_from([packed_windows, windows_per_prefix]))
def test_cases_of_a_batch_are_its_targets_in_order(sizes, max_history, cut):
    windows = cut(rows_of(sizes), max_history)
    if not len(windows):
        return
    numbers = np.random.default_rng(0).permutation(len(windows))
    found, sources = windows.cases(numbers)
    expected = predicted(Windows(windows.rows.take(numbers), windows.first[numbers], windows.sources[numbers]))
    assert [found.row(case).tolist() for case in range(len(found))] == [history for _, history in expected]
    assert sources.tolist() == [target // 100 for target, _ in expected]


def test_a_batch_is_as_wide_as_its_widest():
    windows = packed_windows(rows_of([3, 1, 5, 2]), 10)
    batch = windows.batch(np.array([0, 2]))
    assert batch["items_BM"].tolist() == [[0, 1, 2], [300, 301, -1]]
    assert batch["targets_BQ"].tolist() == [[1, 2], [1, -1]]
    assert all(value.dtype == torch.int64 for value in batch.values())


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(2, 30), min_size=1, max_size=60), st.integers(1, 50), st.integers(0, 3))
def test_batches_hold_every_window_once(sizes, targets, epoch):
    windows = packed_windows(rows_of(sizes), 6)
    found = batches(windows, targets, [7, epoch])
    assert sorted(np.concatenate(found).tolist()) == list(range(len(windows)))
    assert all(len(part) for part in found)
    assert len(found) == len(batches(windows, targets, [7, epoch + 1])) == len(batches(windows, targets, [8, epoch]))
    for one, two in zip(found, batches(windows, targets, [7, epoch])):
        assert np.array_equal(one, two)


def test_batches_are_of_like_length_and_about_the_size_asked_for():
    sizes = np.random.default_rng(0).integers(2, 20, 2000).tolist()
    windows = packed_windows(rows_of([*sizes]), 20)
    found = batches(windows, 100, [0, 0])
    counts = np.array([windows.targets[part].sum() for part in found])
    assert len(found) == round(windows.targets.sum() / 100)
    assert counts.min() > 80
    assert counts.max() < 130
    spread = np.mean([np.ptp(windows.rows.lengths[part]) for part in found])
    assert spread < 5
    means = [windows.rows.lengths[part].mean() for part in found]
    half = len(means) // 2
    assert abs(np.mean(means[:half]) - np.mean(means[half:])) < 2  # not from short to long
    other = batches(windows, 100, [0, 1])
    assert any(not np.array_equal(one, two) for one, two in zip(found, other))


@pytest.mark.data
def test_beauty_has_the_published_number_of_samples(data_dir: Path):
    folder = data_dir / "beauty"
    given_data = DataSettings(items=folder / "items.parquet", interactions=folder / "interactions.parquet")
    train = split_data(given_data, read_data(given_data)[1]).train
    alone, packed = windows_per_prefix(train, 20), packed_windows(train, 20)
    assert len(alone) == alone.targets.sum() == packed.targets.sum() == 131_413
    cases = prefix_cases(train, 20)
    assert len(cases) == 131_413
    assert alone.rows.lengths.sum() - len(alone) == len(cases.histories.items) == 880_671  # spec §11.1
    assert len(packed.rows.items) < 880_671 / 5
