import numpy as np
import pytest

from lexirec.core.config import validate_settings
from lexirec.core.errors import DataError, SettingsError
from lexirec.semantic_ids.quantizers.codebook import Codebook
from lexirec.semantic_ids.quantizers.collisions import CollisionSettings
from lexirec.semantic_ids.quantizers.rqvae import CodeUse, LetterLosses, RqVae, RqVaeTraining

VECTORS = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32) @ np.random.default_rng(1).normal(
    size=(4, 12)
)


def small(epochs=6, use=None, letter=None, **more):
    training = RqVaeTraining(epochs=epochs, batch_size=45, warm_up=1, evaluate_every=2, learning_rate=1e-2)
    given = {"levels": 2, "branching": 8, "width": 3, "training": training, **more}
    return RqVae(use=use or CodeUse(), letter=letter or LetterLosses(), **given)


def test_hidden_layers_suit_the_vectors():
    assert RqVae().hidden_widths(2560) == (2048, 1024, 512, 256, 128, 64)
    assert RqVae().hidden_widths(256) == (128, 64)
    assert RqVae().hidden_widths(48) == ()
    assert RqVae(hidden=(7,)).hidden_widths(2560) == (7,)


def test_learning_restores_vectors_better_and_gives_every_item_its_own_codes():
    short, long = small(1).fit(VECTORS), small(40).fit(VECTORS)
    assert long.report.reconstruction_error < 0.7 * short.report.reconstruction_error
    assert len(np.unique(long.codes.values, axis=0)) == 90
    assert (long.assign(VECTORS) == long.codes.values[:, :2]).all()


def test_a_seed_fixes_the_codes_and_the_length_of_vectors_means_nothing():
    first, again, other = small().fit(VECTORS), small().fit(VECTORS), small(seed=1).fit(VECTORS)
    assert (first.codes.values == again.codes.values).all()
    assert (first.codes.values[:, :2] != other.codes.values[:, :2]).any()
    long = small().fit(VECTORS * 64 + 3)
    assert long.report.reconstruction_error == pytest.approx(first.report.reconstruction_error, abs=0.02)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"use": CodeUse(ema=0.9, revive_after=3, revive_below=0.02), "letter": LetterLosses(diversity=0.1, clusters=3)},
        {"use": CodeUse(balance=0.1, sinkhorn=(0, 0.01)), "letter": LetterLosses(collaborative=0.1)},
    ],
)
def test_a_killed_fit_carries_on_with_an_equal_result(tmp_path, monkeypatch, more):
    from lexirec.semantic_ids.quantizers.rqvae_training import _Run

    extra = np.random.default_rng(2).normal(size=(90, 5))
    whole = small(**more).fit(VECTORS, extra)
    one_epoch, done = _Run._one_epoch, []

    def killed(run):
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(run.epoch)
        return one_epoch(run)

    monkeypatch.setattr(_Run, "_one_epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        small(**more).fit(VECTORS, extra, folder=tmp_path / "progress")
    done.clear()
    resumed = small(**more).fit(VECTORS, extra, folder=tmp_path / "progress")
    assert done == [4, 5]  # the fifth epoch came after the last look and is run again
    assert (resumed.codes.values == whole.codes.values).all()
    assert all((a == b).all() for a, b in zip(resumed.centroids, whole.centroids, strict=True))


def test_a_state_of_other_vectors_or_damaged_is_not_carried_on(tmp_path, caplog):
    whole = small().fit(VECTORS)
    small().fit(VECTORS[::-1].copy(), folder=tmp_path)
    assert (small().fit(VECTORS, folder=tmp_path).codes.values == whole.codes.values).all()
    assert "belongs to other settings or data and is removed" in caplog.text
    states = sorted(tmp_path.glob("rqvae-*.safetensors"))
    assert len(states) == 2, "the newest two are kept"
    states[-1].write_bytes(states[-1].read_bytes()[:-100])
    assert (small().fit(VECTORS, folder=tmp_path).codes.values == whole.codes.values).all()
    assert caplog.text.count("is damaged; going back to the state before it, or to the start") == 1
    for state in tmp_path.glob("rqvae-*.safetensors"):
        state.write_bytes(b"cut off")
    assert (small().fit(VECTORS, folder=tmp_path).codes.values == whole.codes.values).all()
    assert caplog.text.count("is damaged; going back to the state before it, or to the start") == 3


def test_settings_choose_which_state_is_kept():
    training = {"epochs": 6, "batch_size": 32, "warm_up": 0, "evaluate_every": 1}
    last = small(training=RqVaeTraining(select="last", **training)).fit(VECTORS)
    best = small(training=RqVaeTraining(select="collisions", **training)).fit(VECTORS)
    assert best.report.collisions.before.rate <= last.report.collisions.before.rate


def test_the_codebook_can_be_stored_and_applied_to_another_catalogue(tmp_path):
    rule = CollisionSettings(rule="nearest-free")
    codebook = small(collisions=rule).fit(VECTORS)
    codebook.save(tmp_path)
    other = Codebook.load(tmp_path).apply(VECTORS[::2] + np.float32(0.01), rule)
    assert len(other.codes) == 45
    assert len(np.unique(other.codes.values, axis=0)) == 45
    assert (other.assign(VECTORS) == codebook.assign(VECTORS)).all()


def test_collaborative_vectors_are_asked_for_and_checked():
    letter = LetterLosses(collaborative=0.02)
    with pytest.raises(SettingsError, match="needs collaborative vectors"):
        small(letter=letter).fit(VECTORS)
    with pytest.raises(DataError, match="3 collaborative vectors and 90 items"):
        small(letter=letter).fit(VECTORS, np.ones((3, 2)))
    with pytest.raises(DataError, match="not finite"):
        small().fit(np.full((3, 2), np.inf))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"use": {"sinkhorn": [0.001]}}, r"'use.sinkhorn' is \[0.001\]; each entropy must be 0 or at least 0.003"),
        ({"branching": 4, "letter": {"diversity": 0.1}}, "has 4 codes a level for 10 clusters"),
        ({"training": {"epoch": 3}}, "Did you mean 'training.epochs'"),
    ],
)
def test_settings_that_cannot_be_are_refused(values, said):
    with pytest.raises(SettingsError, match=said):
        validate_settings(values, RqVae)
