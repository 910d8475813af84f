import numpy as np
import pytest

from lexirec.core.errors import ArtifactError, DataError
from lexirec.data.sequences import Sequences
from lexirec.models.baselines.base import save_fitted
from lexirec.models.baselines.popularity import Recency, RecencySettings

TRAIN = Sequences.from_lists([[0, 1, 2], [3, 0], [1]])
DAY = 86_400.0


def test_an_event_counts_half_for_every_half_life_before_the_newest():
    times = np.array([0.0, 10.0, 20.0, 0.0, 20.0, 20.0]) * DAY + 1.5e9
    shares = Recency(RecencySettings(half_life_days=10)).fit(TRAIN, 5, times=times).shares
    expected = np.array([0.25 + 1, 0.5 + 1, 1, 0.25, 0])
    assert shares.tolist() == pytest.approx((expected / expected.sum()).tolist())


def test_without_times_the_place_from_the_end_of_a_row_stands_in():
    shares = Recency(RecencySettings(place_decay=0.5)).fit(TRAIN, 5).shares
    expected = np.array([0.25 + 1, 0.5 + 1, 1, 0.5, 0])
    assert shares.tolist() == pytest.approx((expected / expected.sum()).tolist())


def test_it_is_the_same_for_everybody():
    scores = Recency().fit(TRAIN, 5).scores(Sequences.from_lists([[], [3, 3]]))
    assert scores.dtype == np.float32
    assert scores[0].tolist() == scores[1].tolist()


def test_no_events_are_no_error():
    empty = Sequences.from_lists([])
    assert Recency().fit(empty, 3).shares.tolist() == [0, 0, 0]
    assert Recency().fit(empty, 3, times=np.empty(0)).shares.tolist() == [0, 0, 0]


def test_times_must_be_one_per_event():
    with pytest.raises(DataError, match="2 times for 6 events"):
        Recency().fit(TRAIN, 5, times=np.zeros(2))


def test_a_folder_without_shares_is_refused(tmp_path):
    save_fitted(tmp_path, RecencySettings())
    with pytest.raises(ArtifactError, match="'shares' is missing"):
        Recency.load(tmp_path)
