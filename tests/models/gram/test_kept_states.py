import pytest
import torch

from lexirec.core.errors import ArtifactError
from lexirec.data.splits import prefix_cases
from lexirec.models.gram import kept_states as module
from lexirec.models.gram.kept_states import keep_states, keeping_states
from lexirec.models.gram.recommender import GramInputs, GramRecommender
from lexirec.models.gram.settings import GramNetworkSettings, GramSettings
from lexirec.models.gram.training import fit_gram
from lexirec.nn.ragged import Ragged
from lexirec.nn.t5 import BackboneSettings, load_backbone
from lexirec.testing import circle_walks
from tests.models.gram.test_recommender import BRIEF, CATALOG, ITEMS, NEIGHBORS, TRAIN, VECTORS, identifiers
from tests.worlds.encoders import save_encoder

GROUNDED = GramSettings(
    network=GramNetworkSettings(head="grounded", user_prompt="grounded", max_history=5, neighbor_rows=1),
    prompts={"metadata_tokens": 6, "similar_items": 1, "similar_tokens": 6, "identifier_tokens": 6},
    training=BRIEF.model_copy(update={"learning_rate": 3e-3}),
)
VALIDATION = prefix_cases(circle_walks(ITEMS, shoppers=8, seed=1), 5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("encoder"))


def built(folder: str, training: str = "frozen", settings: GramSettings = GROUNDED) -> GramRecommender:
    how = BackboneSettings(
        name="scratch:tiny", d_model=16, heads=2, feed_forward=32, encoder={"name": folder, "training": training}
    )
    backbone = load_backbone(how, texts=CATALOG.texts())
    return GramRecommender.build(CATALOG, backbone, GramInputs(identifiers(), NEIGHBORS, VECTORS), settings)


def count_reads(monkeypatch, encoder) -> list[int]:
    """Return a list that gets the number of prompts of every pass through the encoder."""
    rows, states = [], encoder.states

    def counted(ids, mask):
        rows.append(len(ids))
        return states(ids, mask)

    monkeypatch.setattr(encoder, "states", counted)
    return rows


def test_kept_states_are_those_that_would_be_computed(folder, tmp_path):
    model = built(folder).model
    model.eval()
    items = torch.tensor([3, 0, 7, 7, 12])
    with torch.no_grad():
        expected, mask = model.encode_items(items)
        with keeping_states(model, tmp_path, in_half=False):
            found, same = model.encode_items(items)
        with keeping_states(model, tmp_path, in_half=True):
            half, _ = model.encode_items(items)
    assert model.kept_states is None
    assert torch.equal(mask, same)
    torch.testing.assert_close(found[mask], expected[mask], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(half[mask], expected[mask], atol=3e-2, rtol=3e-2)
    assert not torch.equal(half[mask], found[mask])


def test_training_with_kept_states_equals_computing_them_each_time(folder, tmp_path, monkeypatch):
    kept, computed = built(folder).model, built(folder).model
    rows = count_reads(monkeypatch, kept.text_encoder)
    curve = fit_gram(kept, TRAIN, GROUNDED.training, validation=VALIDATION, folder=tmp_path / "kept")
    assert sum(rows) == ITEMS  # steps and validations read the file
    monkeypatch.setattr(module, "keep_states", lambda *_: None)
    expected = fit_gram(computed, TRAIN, GROUNDED.training, validation=VALIDATION, folder=tmp_path / "computed")
    for mine, theirs in zip(curve, expected, strict=True):
        assert mine == pytest.approx(theirs, abs=1e-3)
    for name, weight in kept.state_dict().items():
        torch.testing.assert_close(weight, computed.state_dict()[name], atol=1e-3, rtol=1e-3)
    assert not torch.equal(kept.text_encoder.projection.weight, built(folder).model.text_encoder.projection.weight)


def test_a_trained_encoder_reads_in_every_step(folder, tmp_path, monkeypatch):
    model = built(folder, "full").model
    before = {name: weight.clone() for name, weight in model.text_encoder.model.named_parameters()}
    rows = count_reads(monkeypatch, model.text_encoder)
    fit_gram(model, TRAIN, GROUNDED.training, validation=None, folder=tmp_path)
    assert sum(rows) > 3 * ITEMS
    assert not (tmp_path / "item-states").exists()
    moved = [
        float((weight - before[name]).abs().max().detach())
        for name, weight in model.text_encoder.model.named_parameters()
    ]
    # AdamW moves a weight by about its rate a step: the encoder's own, 1e-4, not the training's, 3e-3
    assert 1e-5 < max(moved) < 3e-3


@pytest.mark.parametrize("training", ["frozen", "full"])
def test_training_in_bfloat16_learns_from_stored_and_from_computed_states(training, folder, tmp_path):
    how = GROUNDED.training.model_copy(update={"precision": "bfloat16"})
    curve = fit_gram(built(folder, training).model, TRAIN, how, validation=None, folder=tmp_path)
    losses = [row["loss"] for row in curve]
    assert losses[-1] < losses[0] - 0.3
    stored = tmp_path / "item-states" / "states.bin"
    assert stored.exists() == (training == "frozen")


def test_a_killed_run_goes_on_behind_the_last_whole_prompt(folder, tmp_path, monkeypatch):
    model = built(folder).model
    encoder, prompts = model.text_encoder, model.item_prompts
    monkeypatch.setattr(module, "_BLOCK", 4)
    whole = keep_states(encoder, prompts, tmp_path, torch.float32)
    every = torch.arange(ITEMS)
    expected, mask = whole.take(every)
    path = tmp_path / "states.bin"
    content = path.read_bytes()
    row = encoder.model.config.hidden_size * 4
    path.write_bytes(content[: int(prompts.offsets[9]) * row + 5])
    rows = count_reads(monkeypatch, encoder)
    found, _ = keep_states(encoder, prompts, tmp_path, torch.float32).take(every)
    assert rows == [4, 4, ITEMS - 17]
    assert len(path.read_bytes()) == len(content)
    torch.testing.assert_close(found[mask], expected[mask], atol=1e-5, rtol=1e-4)
    rows.clear()
    keep_states(encoder, prompts, tmp_path, torch.float32)
    assert not rows


@pytest.mark.parametrize("change", ["prompts", "weights", "dtype"])
def test_states_of_other_prompts_weights_or_types_are_not_taken(change, folder, tmp_path, monkeypatch):
    model = built(folder).model
    encoder, prompts, dtype = model.text_encoder, model.item_prompts, torch.float32
    keep_states(encoder, prompts, tmp_path, dtype)
    match change:
        case "prompts":
            values = prompts.values.clone()
            values[0] += 1
            prompts = Ragged(values, prompts.offsets)
        case "weights":
            encoder.model.encoder.layer[0].output.dense.weight.data[0, 0] += 1
        case "dtype":
            dtype = torch.bfloat16
    rows = count_reads(monkeypatch, encoder)
    states, mask = keep_states(encoder, prompts, tmp_path, dtype).take(torch.arange(ITEMS))
    assert sum(rows) == ITEMS
    assert states.dtype == dtype
    ids, _ = prompts.pad(torch.arange(ITEMS))
    with torch.no_grad():
        torch.testing.assert_close(
            states.float()[mask], encoder.states(ids, mask)[mask], atol=0.02 if change == "dtype" else 1e-5, rtol=1e-2
        )


def test_a_full_disk_is_said_in_one_line(folder, tmp_path, monkeypatch):
    model = built(folder).model

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model.text_encoder, "states", full)
    with pytest.raises(ArtifactError, match="the disk is full"):
        keep_states(model.text_encoder, model.item_prompts, tmp_path, torch.float32)
