import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from lexirec.core.errors import DataError, TrainingError
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.models.baselines import sequential_training
from lexirec.models.baselines.gru4rec import Gru4Rec
from lexirec.models.baselines.hstu import Hstu
from lexirec.models.baselines.sasrec import Sasrec, SasrecSettings
from lexirec.models.baselines.sequential import SequenceTrainingSettings
from lexirec.models.baselines.sequential_training import fit_sequences, sampled_cross_entropy, training_rows

ITEMS = 12


def settings(**training):
    values = {"learning_rate": 0.02, "epochs": 12, "batch_size": 32, **training}
    return SasrecSettings(
        dimensions=16, layers=1, dropout=0.1, max_history=6, training=SequenceTrainingSettings(**values)
    )


@pytest.fixture(scope="module")
def circles():
    """Shoppers walk round a circle of items: the next item is always the number after the newest."""
    random = np.random.default_rng(0)
    walks = [
        (start + np.arange(length)) % ITEMS for start, length in zip(random.integers(0, ITEMS, 150), [5, 9, 3] * 50)
    ]
    return Sequences.from_lists(walks)


def cases():
    histories = Sequences.from_lists([[i, (i + 1) % ITEMS] for i in range(ITEMS)])
    return Cases(np.arange(ITEMS), ((np.arange(ITEMS) + 2) % ITEMS).astype(np.int32), histories)


def right(model):
    return (model.scores(cases().histories).argmax(axis=1) == cases().targets).mean()


@pytest.mark.parametrize(("negatives", "proposal"), [(0, "popularity"), (8, "popularity"), (8, "uniform")])
def test_it_learns_what_always_comes_next(circles, negatives, proposal):
    chosen = settings(negatives=negatives, proposal=proposal)
    model = fit_sequences(Sasrec(chosen, "cpu"), circles, ITEMS, validation=cases())
    assert right(model) == 1.0
    assert model.history[0]["loss"] > model.history[-1]["loss"]


def test_the_same_seed_gives_the_same_model(circles):
    one, two = (fit_sequences(Sasrec(settings(epochs=2), "cpu"), circles, ITEMS) for _ in range(2))
    assert np.array_equal(one.item_vectors(), two.item_vectors())
    other = fit_sequences(Sasrec(settings(epochs=2, seed=1), "cpu"), circles, ITEMS)
    assert not np.allclose(other.item_vectors(), one.item_vectors())


def test_resumed_equals_uninterrupted(circles, tmp_path, monkeypatch):
    whole = fit_sequences(Sasrec(settings(epochs=5), "cpu"), circles, ITEMS, validation=cases())
    save, saved = sequential_training._Run.save, []

    def killed_after_two_epochs(run, file):
        save(run, file)
        saved.append(run.epoch)
        if run.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(sequential_training._Run, "save", killed_after_two_epochs)
    arguments = {"validation": cases(), "progress": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        fit_sequences(Sasrec(settings(epochs=5), "cpu"), circles, ITEMS, **arguments)
    resumed = fit_sequences(Sasrec(settings(epochs=5), "cpu"), circles, ITEMS, **arguments)
    assert saved == [1, 2, 3, 4, 5]
    assert resumed.history == whole.history
    assert np.array_equal(resumed.item_vectors(), whole.item_vectors())


@pytest.mark.parametrize("damaged", [1, 2])
@pytest.mark.parametrize(
    "how", [lambda content: content[:-7], lambda content: b"", lambda content: content[:-1] + b"!"]
)
def test_a_damaged_state_falls_back_to_the_one_before_or_to_the_start(
    circles, tmp_path, monkeypatch, caplog, damaged, how
):
    whole = fit_sequences(Sasrec(settings(epochs=4), "cpu"), circles, ITEMS, validation=cases())
    save, epochs = sequential_training._Run.save, []

    def killed_after_three_epochs(run, folder):
        save(run, folder)
        epochs.append(run.epoch)
        if run.epoch == 3 and len(epochs) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(sequential_training._Run, "save", killed_after_three_epochs)
    arguments = {"validation": cases(), "progress": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        fit_sequences(Sasrec(settings(epochs=4), "cpu"), circles, ITEMS, **arguments)
    states = sorted(tmp_path.iterdir(), reverse=True)
    assert len(states) == 2, "the newest two are kept"
    for state in states[:damaged]:
        state.write_bytes(how(state.read_bytes()))
    resumed = fit_sequences(Sasrec(settings(epochs=4), "cpu"), circles, ITEMS, **arguments)
    assert epochs[3:] == ([3, 4] if damaged == 1 else [1, 2, 3, 4])
    assert resumed.history == whole.history
    assert np.array_equal(resumed.item_vectors(), whole.item_vectors())
    assert caplog.text.count("is damaged; going back to the state before it, or to the start") == damaged


def test_the_progress_of_other_settings_is_not_carried_on(circles, tmp_path):
    fit_sequences(Sasrec(settings(epochs=1), "cpu"), circles, ITEMS, progress=tmp_path)
    model = fit_sequences(Sasrec(settings(epochs=2), "cpu"), circles, ITEMS, progress=tmp_path)
    fresh = fit_sequences(Sasrec(settings(epochs=2), "cpu"), circles, ITEMS)
    assert np.array_equal(model.item_vectors(), fresh.item_vectors())


def test_the_best_epoch_is_kept_and_patience_ends_training(circles, monkeypatch):
    values = iter([0.1, 0.5, 0.4, 0.3, 0.9])
    seen = []

    def validate(run, _):
        seen.append({name: value.clone() for name, value in run.weights().items()})
        return next(values)

    monkeypatch.setattr(sequential_training._Run, "_validate", validate)
    model = fit_sequences(Sasrec(settings(patience=2), "cpu"), circles, ITEMS, validation=cases())
    assert [figures["ndcg@10"] for figures in model.history] == [0.1, 0.5, 0.4, 0.3]
    assert all(torch.equal(value, seen[1][name]) for name, value in model.network.state_dict().items())


def test_rows_without_a_pair_cannot_be_learned_from():
    with pytest.raises(DataError, match="none of the 2 training rows has two items"):
        fit_sequences(Sasrec(), Sequences.from_lists([[1], [2]]), 3)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(1, 9))
def test_pieces_keep_every_target_once(lengths, max_history):
    numbers = iter(range(sum(lengths)))
    train = Sequences.from_lists([[next(numbers) for _ in range(length)] for length in lengths])
    pieces = training_rows(train, max_history)
    assert len(pieces) == 0 or pieces.lengths.min() >= 2
    assert len(pieces) == 0 or pieces.lengths.max() <= max_history + 1
    targets = sorted(int(item) for i in range(len(pieces)) for item in pieces.row(i)[1:])
    assert targets == sorted(int(item) for i in range(len(train)) for item in train.row(i)[1:])


def test_sampled_softmax_approaches_the_whole_softmax():
    generator = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(4, 30, generator=generator) * 2, torch.tensor([0, 5, 29, 7])
    proposal = torch.rand(30, generator=generator) + 0.1
    proposal /= proposal.sum()
    drawn = torch.multinomial(proposal, 200_000, replacement=True, generator=generator)
    sampled = sampled_cross_entropy(
        logits[:, drawn],
        logits.gather(1, targets[:, None])[:, 0],
        proposal[drawn].log() + math.log(len(drawn)),
        targets[:, None] == drawn[None],
    )
    assert sampled.item() == pytest.approx(torch.nn.functional.cross_entropy(logits, targets).item(), abs=0.01)


def test_the_learning_rate_warms_up_and_falls_to_nothing(circles):
    model = Sasrec(settings(epochs=20), "cpu")
    model.shares, model.network = np.ones(ITEMS, np.float32), model.build(ITEMS)
    run = sequential_training._Run(model, circles, None)
    rates = [run._schedule(step) for step in range(20 * run.steps)]
    assert max(rates) == 1.0
    assert rates[0] < 1
    assert rates[-1] < 0.01
    assert rates.index(1.0) <= len(rates) // 20


@pytest.mark.parametrize("proposal", ["popularity", "uniform"])
def test_items_are_drawn_by_how_often_they_stand_or_all_alike(circles, proposal):
    model = Sasrec(settings(negatives=8, proposal=proposal), "cpu")
    model.shares, model.network = np.ones(ITEMS + 1, np.float32), model.build(ITEMS + 1)
    drawn = sequential_training._Run(model, circles, None).proposal_I
    counts = circles.counts(ITEMS + 1) + 1
    expected = counts / counts.sum() if proposal == "popularity" else np.full(ITEMS + 1, 1 / (ITEMS + 1))
    assert np.allclose(drawn.numpy(), expected)


@pytest.mark.parametrize("cls", [Sasrec, Gru4Rec, Hstu])
@pytest.mark.parametrize("judged", [True, False])
def test_a_training_that_diverges_ends_in_one_line_and_keeps_nothing(cls, judged, circles, tmp_path):
    training = SequenceTrainingSettings(learning_rate=1e30, epochs=3, batch_size=32)
    chosen = cls.settings_class(dimensions=16, layers=1, max_history=6, training=training)
    with pytest.raises(TrainingError, match=rf"^{cls.label}: the .* lower training\.learning_rate \(1e\+30\)$"):
        fit_sequences(cls(chosen, "cpu"), circles, ITEMS, validation=cases() if judged else None, progress=tmp_path)
    for file in tmp_path.rglob("*.safetensors"):
        assert all(value.isfinite().all() for value in load_file(file).values() if value.is_floating_point())


def test_one_bad_step_is_enough(circles, monkeypatch):
    loss, seen = sequential_training._Run._loss, []

    def spoilt(run, batch):
        seen.append(batch)
        return loss(run, batch) * (torch.nan if len(seen) == 12 else 1.0)

    monkeypatch.setattr(sequential_training._Run, "_loss", spoilt)
    with pytest.raises(TrainingError, match=r"the loss is nan at step 12 of 21 \(epoch 2\)"):
        fit_sequences(Sasrec(settings(epochs=3), "cpu"), circles, ITEMS, validation=cases())


def test_weights_are_looked_at_after_the_last_step_of_an_epoch(circles, monkeypatch, tmp_path):
    step = sequential_training._Run._step

    def spoilt(run, number, batch, progress):
        loss = step(run, number, batch, progress)
        if (run.epoch, number) == (1, run.steps - 1):
            with torch.no_grad():
                run.network.places.weight[-1] = torch.nan
        return loss

    monkeypatch.setattr(sequential_training._Run, "_step", spoilt)
    with pytest.raises(TrainingError, match=r"the weight 'places\.weight' is not finite after epoch 2"):
        fit_sequences(Sasrec(settings(epochs=3), "cpu"), circles, ITEMS, progress=tmp_path)
    (file,) = tmp_path.iterdir()
    assert all(value.isfinite().all() for value in load_file(file).values())


def test_scores_that_are_not_numbers_do_not_validate_at_one(circles, monkeypatch):
    monkeypatch.setattr(Sasrec, "scores", lambda model, histories: np.full((len(histories), ITEMS), np.nan, np.float32))
    with pytest.raises(TrainingError, match="scores of 12 of 12 cases hold NaN"):
        fit_sequences(Sasrec(settings(epochs=1), "cpu"), circles, ITEMS, validation=cases())


def test_vectors_that_are_not_finite_are_named_before_training(circles):
    vectors = np.ones((ITEMS, 3), np.float32)
    vectors[4] = np.inf
    with pytest.raises(DataError, match="vectors: row 4 is not finite"):
        fit_sequences(Sasrec(settings(epochs=1), "cpu"), circles, ITEMS, vectors=vectors)
