"""Encodings in files: equal to those in memory, shared between catalogues, and told when damaged."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lexirec.core.errors import ArtifactError
from lexirec.models.gram import stored_states
from lexirec.models.gram.recommender import GramRecommender
from lexirec.models.gram.step_decoder import ItemStates
from lexirec.models.gram.stored_states import StoredStates, encoded, extend_states, write_states
from tests.models.gram.test_recommender import ITEMS, TRAIN, WORDY, built
from tests.worlds.ensemble import fusion


def assert_same(mine, theirs, items) -> None:
    for part in (items, items[:1], items.flip(0)):
        (a, mask_a), (b, mask_b) = mine.take(part), theirs.take(part)
        assert torch.equal(mask_a, mask_b)
        real = mask_a.unsqueeze(2)
        assert torch.allclose(a * real, b * real, atol=1e-5)


def test_files_hold_what_was_in_memory(tmp_path):
    states = encoded(fusion())
    write_states(states, tmp_path)
    stored = StoredStates(tmp_path)
    assert len(stored) == len(states.mask_IL)
    items = torch.tensor([3, 0, 7, 7, 12])
    for mine, theirs in zip(stored.take(items), states.take(items), strict=True):
        assert torch.equal(mine, theirs)


def test_a_changed_catalogue_shares_the_files_of_the_one_before(tmp_path):
    model = fusion()
    everything = encoded(model)
    count = len(everything.mask_IL)
    first = torch.arange(count - 5)
    write_states(ItemStates(everything.states_ILD[first], everything.mask_IL[first]), tmp_path / "0")
    sources = np.concatenate([np.arange(1, count - 5), [-1] * 6]).astype(np.int64)  # one item left, another reads anew
    sources[2] = -1
    order = torch.arange(count)
    extend_states(tmp_path / "0", sources, model, tmp_path / "1")
    stored = StoredStates(tmp_path / "1")
    assert stored.files == 2
    old, new = (tmp_path / name / "states-0.npy" for name in ("0", "1"))
    assert old.samefile(new)
    assert (tmp_path / "1" / "states-1.npy").stat().st_size < old.stat().st_size
    kept = np.flatnonzero(sources >= 0)
    mine, mask = stored.take(torch.from_numpy(kept))
    theirs, other = everything.take(torch.from_numpy(sources[kept]))
    assert torch.equal(mask, other)
    assert torch.equal(mine * mask.unsqueeze(2), theirs * mask.unsqueeze(2))
    fresh = np.flatnonzero(sources < 0)
    assert_same(_Renumbered(stored, fresh), _Renumbered(everything, fresh), order[: len(fresh)])


class _Renumbered:
    """Some items of a table."""

    def __init__(self, table, numbers) -> None:
        self.table, self.numbers = table, torch.from_numpy(numbers)

    def take(self, items):
        return self.table.take(self.numbers[items])


def test_many_files_become_one_again(tmp_path, monkeypatch):
    monkeypatch.setattr(stored_states, "MOST_FILES", 3)
    model = fusion()
    everything = encoded(model)
    write_states(everything, tmp_path / "0")
    sources = np.arange(len(everything.mask_IL))
    counts = []
    for number in range(6):
        sources[number] = -1
        extend_states(tmp_path / str(number), sources, model, tmp_path / str(number + 1))
        sources[number] = number
        stored = StoredStates(tmp_path / str(number + 1))
        counts.append(stored.files)
        assert_same(stored, everything, torch.arange(len(sources)))
    assert counts == [2, 3, 1, 2, 3, 1]


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"x")])
@pytest.mark.parametrize("name", ["states-0.npy", "mask-0.npy", "places.npy"])
def test_damage_is_one_line(tmp_path, name, damage):
    write_states(encoded(fusion()), tmp_path)
    damage(tmp_path / name)
    with pytest.raises(ArtifactError, match="the items' encodings are damaged") as caught:
        StoredStates(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_recommender_with_files_recommends_the_same_until_it_is_trained(tmp_path):
    recommender: GramRecommender = built(WORDY)
    before = recommender.rank(TRAIN, k=6)
    write_states(encoded(recommender.model), tmp_path / "states")
    recommender.read_states(tmp_path / "states")
    after = recommender.rank(TRAIN, k=6)
    assert np.array_equal(before.items, after.items)
    assert np.array_equal(before.scores, after.scores)
    assert isinstance(recommender.searcher._cache, StoredStates)
    recommender.fit(TRAIN)
    assert recommender.states_folder is None
    assert isinstance(recommender.searcher._cache, ItemStates)
    write_states(ItemStates(torch.zeros(3, 2, 4), torch.ones(3, 2, dtype=torch.bool)), tmp_path / "other")
    with pytest.raises(ArtifactError, match="of other items"):
        recommender.read_states(tmp_path / "other")
    assert len(StoredStates(tmp_path / "states")) == ITEMS
