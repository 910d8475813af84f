import builtins

import numpy as np
import pytest

from lexirec.core.errors import ArtifactError, SettingsError, TrainingError
from lexirec.data.sequences import Sequences
from lexirec.models.baselines.als import Als, AlsSettings
from lexirec.models.baselines.base import save_fitted

TRAIN = Sequences.from_lists([[0, 1, 2], [1, 0], [2, 3], [3, 2, 0], [1]] * 3)
HISTORIES = Sequences.from_lists([[1, 3], [0, 0, 2], []])


@pytest.fixture(scope="module")
def als() -> Als:
    return Als(AlsSettings(dimensions=3, regularization=0.5, confidence=4.0, history_decay=0.5)).fit(TRAIN, 5)


def test_a_history_is_folded_in_by_the_closed_form(als):
    vectors = als.vectors.astype(np.float64)
    confidences = np.array([[0, 2, 0, 4, 0], [4 * (0.5 + 0.25), 0, 4, 0, 0]])
    for row, confidence in enumerate(confidences):
        # The package counts confidence − 1 on top of the implicit 1, and a preference of 1 wherever there is any.
        extra = np.maximum(confidence - 1, 0) * (confidence > 0)
        gram = vectors.T @ vectors + vectors.T @ (extra[:, None] * vectors) + 0.5 * np.eye(3)
        expected = np.linalg.solve(gram, vectors.T @ (confidence * (confidence > 0)))
        assert np.allclose(als.fold_in(HISTORIES)[row], expected, atol=1e-3)


def test_scores_are_products_and_newcomers_get_popularity(als):
    scores = als.scores(HISTORIES)
    assert np.allclose(scores[:2], als.fold_in(HISTORIES)[:2] @ als.item_vectors().T, atol=1e-5)
    assert scores[2].tolist() == als.shares.tolist()


def test_the_same_seed_gives_the_same_vectors():
    one, two, other = (Als(AlsSettings(dimensions=4, seed=seed)).fit(TRAIN, 5).vectors for seed in (0, 0, 1))
    assert np.array_equal(one, two)
    assert not np.allclose(one, other)


def test_without_the_package_it_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **named):
        if name.startswith("implicit"):
            raise ImportError(name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SettingsError, match=r"'implicit': pip install 'lexirec\[als\]'"):
        Als().fit(TRAIN, 5)


def test_a_folder_without_vectors_is_refused(tmp_path):
    save_fitted(tmp_path, AlsSettings(), shares=np.ones(2, dtype=np.float32))
    with pytest.raises(ArtifactError, match="'vectors' is missing"):
        Als.load(tmp_path)


def test_vectors_without_a_finite_solution_are_refused():
    with pytest.raises(
        TrainingError,
        match=r"als: the equations have no finite solution \(NaN [a-z ]*\); raise 'regularization' \(0\) or lower",
    ):
        Als(AlsSettings(dimensions=8, regularization=0.0, confidence=1e38)).fit(TRAIN, 5)


def test_vectors_beyond_the_machine_are_refused_beforehand(monkeypatch):
    monkeypatch.setattr("lexirec.core.environment.total_memory", lambda: 8 * 2**30)
    assert AlsSettings().too_large(1_000_000, 5_000_000) is None
    refused = AlsSettings().too_large(1_000_000, 10_000_000)
    assert refused.startswith("als: vectors of 1,000,000 items and 10,000,000 users need about 10 GiB")
    assert "this machine has 8 GiB: leave this baseline out, or lower 'dimensions'" in refused
    monkeypatch.setattr("lexirec.core.environment.total_memory", lambda: None)
    assert AlsSettings().too_large(1_000_000, 10_000_000) is None
