import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from lexirec.models.gram.network import GramNetwork
from lexirec.models.gram.settings import GramNetworkSettings
from lexirec.models.gram.step_decoder import encode_catalog
from lexirec.models.gram.window_batch import Batch
from lexirec.nn.t5_layers import decode
from tests.worlds.ensemble import (
    ITEMS,
    apart,
    backbone,
    combinations,
    fusion,
    gradients,
    identifiers,
    name,
    padded,
    separate,
    windows,
)

EVERY = pytest.mark.parametrize("chosen", combinations(), ids=name)


def learned(model: GramNetwork, items_BM: torch.Tensor, targets_BQ: torch.Tensor):
    model.zero_grad()
    loss = model(items_BM, targets_BQ)["loss"]
    loss.backward()
    return float(loss.detach()), gradients(model)


def test_settings_that_do_not_fit_together_are_refused():
    refused = {
        "it needs likelihood": {"head": "grounded", "likelihood": "vocabulary"},
        "set that head, too": {"user_prompt": "grounded"},
        "there is no input": {"user_prompt": "none", "item_prompts": False},
    }
    for words, chosen in refused.items():
        with pytest.raises(ValidationError, match=words):
            GramNetworkSettings(**chosen)
    assert len(combinations()) == 19


@EVERY
def test_packed_prefixes_learn_what_separate_ones_do(chosen):
    model = fusion(**chosen)
    packed, of_packed = learned(model, *windows())
    alone, of_alone = learned(model, *separate(*windows()))
    assert packed == pytest.approx(alone, abs=1e-5)
    assert apart(of_packed, of_alone) < 1e-3
    assert {key for key, _ in model.named_parameters()} - set(of_packed) == unread(chosen)


def unread(chosen) -> set[str]:
    """Weights that take no part: positions that are switched off, and words where items speak in vectors alone."""
    wordless = chosen.get("user_prompt") == "grounded" and not chosen["item_prompts"]
    return (
        {"positions.weight"} if chosen.get("positions") is False else {"backbone.shared.weight"} if wordless else set()
    )


@EVERY
def test_every_gradient_is_finite_and_windows_may_be_empty(chosen):
    """A window without any target among others, as the last batch of an epoch may hold, changes nothing."""
    model = fusion(**chosen)
    items_BM, targets_BQ = windows()
    loss, found = learned(model, items_BM, targets_BQ)
    more, of_more = learned(
        model,
        torch.cat([items_BM, torch.full((1, items_BM.shape[1]), -1)]),
        torch.cat([targets_BQ, torch.full((1, targets_BQ.shape[1]), -1)]),
    )
    assert all(gradient.isfinite().all() for gradient in found.values())
    assert more == pytest.approx(loss, abs=1e-5)
    assert apart(found, of_more) < 1e-3


@EVERY
@torch.no_grad()
def test_items_encoded_beforehand_equal_items_encoded_now(chosen):
    model = fusion(**chosen)
    batch, rows = Batch(*separate(*windows())), model.head.rows()
    direct, start = model.fuse(batch, rows)
    cached, _ = model.fuse(batch, rows, encode_catalog(model, batch_size=7).take)
    inputs = torch.cat([start.unsqueeze(2), torch.randn(len(start), 1, 3, start.shape[-1])], dim=2)
    outputs = [
        decode(model.backbone.decoder, inputs, prompts) for prompts in (direct, cached, direct.flat(), cached.flat())
    ]
    for other in outputs[1:]:
        assert torch.allclose(outputs[0], other, atol=1e-5)


def stock_loss(model: GramNetwork, states: torch.Tensor, mask: torch.Tensor, items: torch.Tensor) -> float:
    """Loss of the stock T5 that is given encoder states, or token ids to encode, and identifiers as labels."""
    rows = torch.from_numpy(identifiers()).long()[items]
    labels = torch.full((len(rows), rows.shape[1] + 1), -100)
    labels[:, :-1] = rows.masked_fill(rows < 0, -100)
    labels[torch.arange(len(rows)), (rows >= 0).sum(1)] = 1
    source = {"input_ids": states} if states.ndim == 2 else {"encoder_outputs": (states,)}
    return float(model.backbone(**source, attention_mask=mask.long(), labels=labels).loss)


@torch.no_grad()
def test_one_prompt_and_no_positions_are_a_plain_t5():
    model = fusion(likelihood="vocabulary", item_prompts=False)
    items_BM, targets_BQ = separate(*windows())
    histories = [row[max(0, t - 4) : t].flip(0).tolist() for row, (t,) in zip(items_BM, targets_BQ)]
    ids, mask = model._user_prompts(padded(histories))
    targets = items_BM.gather(1, targets_BQ).squeeze(1)
    plain = stock_loss(model, ids, mask, targets)
    assert float(model(items_BM, targets_BQ)["loss"]) != pytest.approx(plain, abs=1e-4)
    model.positions.weight.zero_()
    assert float(model(items_BM, targets_BQ)["loss"]) == pytest.approx(plain, abs=1e-5)


@pytest.mark.parametrize("positions", [True, False])
@torch.no_grad()
def test_all_prompts_equal_a_stock_t5_that_is_given_their_concatenation(positions):
    """Put together by hand: the user prompt at position 0, then item prompts, the newest item at position 1."""
    model = fusion(likelihood="vocabulary", positions=positions)
    items_BM, targets_BQ = separate(*windows())
    table = model.positions.weight * positions
    parts = []
    for row, (target,) in zip(items_BM, targets_BQ):
        newest = row[max(0, int(target) - 4) : target].flip(0)
        ids, mask = model._user_prompts(newest[None])
        texts = [ids[0][mask[0]], *(torch.tensor(model._item_prompts.row(int(i))) for i in newest)]
        states = [model.backbone.encoder(text[None].long()).last_hidden_state[0] for text in texts]
        parts.append(torch.cat([state + table[place] for place, state in enumerate(states)]))
    states = torch.nn.utils.rnn.pad_sequence(parts, batch_first=True)
    mask = torch.arange(states.shape[1]) < torch.tensor([[len(part)] for part in parts])
    theirs = stock_loss(model, states, mask, items_BM.gather(1, targets_BQ).squeeze(1))
    assert float(model(items_BM, targets_BQ)["loss"]) == pytest.approx(theirs, abs=1e-5)


def test_size_is_that_of_the_stock_model_and_a_table_of_positions():
    model = fusion(max_history=20)
    stock = sum(weight.numel() for weight in backbone().model.parameters())
    assert sum(weight.numel() for weight in model.parameters()) == stock + 21 * 16


@pytest.mark.parametrize(
    "chosen", [chosen for chosen in combinations() if chosen.get("user_prompt") != "grounded"], ids=name
)
@torch.no_grad()
def test_only_the_newest_items_are_read(chosen):
    """What lies beyond `max_history` matters to the penalty on repeats only (and where items are told causally)."""
    model = fusion(**chosen)
    if getattr(model.head, "repeat", None) is not None:
        model.head.repeat.fill_(-1e9)
    long = torch.tensor([[9, 8, 1, 2, 3, 4, 5]])
    short = torch.tensor([[1, 2, 3, 4, 5]])
    losses = [float(model(items, torch.tensor([[items.shape[1] - 1]]))["loss"]) for items in (long, short)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


@EVERY
@torch.no_grad()
def test_every_item_of_the_history_matters_and_none_after_the_target(chosen):
    model = fusion(**chosen)
    items, target = torch.tensor([[1, 2, 3, 4, 5]]), torch.tensor([[3]])
    loss = float(model(items, target)["loss"])
    for place in range(5):
        other = items.clone()
        other[0, place] = 30
        changed = abs(float(model(other, target)["loss"]) - loss)
        assert changed < 1e-6 if place > 3 else changed > 1e-6


@EVERY
def test_weights_survive_a_file(chosen, tmp_path):
    """Tied weights are stored once, under the name that loads."""
    model, other = fusion(0, **chosen), fusion(1, **chosen)
    before = float(model(*windows())["loss"].detach())
    assert float(other(*windows())["loss"].detach()) != pytest.approx(before, abs=1e-4)
    state = model.state_dict()
    assert len({value.data_ptr() for value in state.values() if value.numel()}) == sum(
        value.numel() > 0 for value in state.values()
    )
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "weights.safetensors")
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert float(other(*windows())["loss"].detach()) == before


def test_weights_that_do_not_fit_are_refused():
    state = fusion().state_dict()
    missing = {key: value for key, value in state.items() if key != "positions.weight"}
    with pytest.raises(RuntimeError, match=r"missing \['positions.weight'\]"):
        fusion().load_state_dict(missing)
    with pytest.raises(RuntimeError, match=r"unexpected \['stranger'\]"):
        fusion().load_state_dict({**state, "stranger": torch.ones(1)})
    fusion().load_state_dict(missing, strict=False)


def test_dropout_acts_in_training_only():
    model = fusion(dropout=0.3)
    assert model(*windows())["loss"] == model(*windows())["loss"]
    model.train()
    assert model(*windows())["loss"] != model(*windows())["loss"]


@torch.no_grad()
def test_each_distinct_item_is_encoded_once_per_step():
    model, encoded = fusion(user_prompt="none"), []
    model.backbone.encoder.register_forward_hook(
        lambda module, args, kwargs, output: encoded.append(len(kwargs["inputs_embeds"])), with_kwargs=True
    )
    items_BM, targets_BQ = windows()
    model(items_BM, targets_BQ)
    read_BM = torch.arange(items_BM.shape[1]) < targets_BQ.amax(1, keepdim=True)  # nothing reads a window's last target
    assert sum(encoded) == len(torch.unique(items_BM[read_BM])) < ITEMS


TOLD = [{"user_prompt": "identifiers"}, {"user_prompt": "grounded", "head": "grounded"}, {"user_prompt": "none"}]


@pytest.mark.parametrize("chosen", TOLD, ids=name)
def test_prompts_of_the_newest_items_alone(chosen):
    """As many as there can be is all of them; fewer learn the same packed and apart, and read other prompts."""
    losses = []
    for newest in (True, 4, 2, 1):
        model = fusion(**chosen, item_prompts=newest)
        loss, packed = learned(model, *windows())
        alone, of_alone = learned(model, *separate(*windows()))
        assert loss == pytest.approx(alone, abs=1e-5)
        assert apart(packed, of_alone) < 1e-3
        losses.append(loss)
    assert losses[1] == pytest.approx(losses[0], abs=1e-6)
    assert len({round(loss, 6) for loss in losses[1:]}) == 3


@torch.no_grad()
def test_prompts_of_older_items_are_not_read():
    model = fusion(user_prompt="none", item_prompts=2)
    items, target = torch.tensor([[1, 2, 3, 4, 5]]), torch.tensor([[4]])
    loss = float(model(items, target)["loss"])
    changes = []
    for place in range(4):
        other = items.clone()
        other[0, place] = 30
        changes.append(abs(float(model(other, target)["loss"]) - loss) > 1e-6)
    assert changes == [False, False, True, True]


@torch.no_grad()
def test_fewer_prompts_flat_and_packed():
    model = fusion(head="grounded", user_prompt="grounded", item_prompts=2)
    batch, rows = Batch(*separate(*windows())), model.head.rows()
    prompts, start = model.fuse(batch, rows)
    inputs = torch.cat([start.unsqueeze(2), torch.randn(len(start), 1, 3, start.shape[-1])], dim=2)
    packed, flat = (decode(model.backbone.decoder, inputs, read) for read in (prompts, prompts.flat()))
    assert torch.allclose(packed, flat, atol=1e-5)
