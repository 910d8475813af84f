"""Learning to spell and to answer: against stock losses, and against one forward pass per completion."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional
from transformers import BloomConfig, BloomForCausalLM

from lexirec.core.errors import DataError, SettingsError
from lexirec.decoding.trie import Trie
from lexirec.models.tsrec.network import TSRecNetwork
from lexirec.models.tsrec.settings import TSRecNetworkSettings
from tests.worlds.ensemble import apart, gradients
from tests.worlds.tsrec import (
    FAMILIES,
    FIRST_TOKEN,
    HEADS,
    ITEMS,
    WIDTH,
    causal,
    histories,
    identifiers,
    language,
    plain_paths,
    prompts,
)

ITEM_ROWS = [7, -1, 30, -1, 12, 3]


def asked() -> dict[str, Tensor]:
    """Return rows that ask for items and for text in turn: prompts with targets, padded on the right."""
    (ids, mask), rows = prompts(len(ITEM_ROWS)), []
    for number, item in enumerate(ITEM_ROWS):
        prompt = ids[number][mask[number]].tolist()
        target = [token for token in identifiers()[item].tolist() if token >= 0] if item >= 0 else [30, 31, 32, 1]
        rows.append((prompt, target[: 4 if item >= 0 else 2 + number]))
    longest = max(len(prompt) + len(target) for prompt, target in rows)
    batch = {name: torch.full((len(rows), longest), fill) for name, fill in (("input_ids", 0), ("labels", -100))}
    for number, (prompt, target) in enumerate(rows):
        batch["input_ids"][number, : len(prompt) + len(target)] = torch.tensor(prompt + target)
        batch["labels"][number, len(prompt) : len(prompt) + len(target)] = torch.tensor(target)
    lengths = torch.tensor([[len(prompt) + len(target)] for prompt, target in rows])
    return {
        **batch,
        "attention_mask": torch.arange(longest) < lengths,
        "items": torch.tensor(ITEM_ROWS),
        "starts": torch.tensor([len(prompt) for prompt, _ in rows]),
        "seen": histories(len(rows)),
    }


@pytest.mark.parametrize("kind", HEADS)
@torch.no_grad()
def test_loss_is_the_mean_of_what_each_row_costs_alone(kind):
    """Items: the scores a search adds up. Text: the stock model's own loss."""
    model, batch = causal(**HEADS[kind]), asked()
    costs, tokens = [], 0
    for number, item in enumerate(ITEM_ROWS):
        ids = batch["input_ids"][number][batch["attention_mask"][number]]
        start = int(batch["starts"][number])
        if item >= 0:
            paths = plain_paths(model, ids[:start].tolist(), batch["seen"][number].tolist(), only=item)
            costs.append(-float(paths[item]))
            tokens += len(ids) - start
        elif kind != "mass":  # there, the stock model does not know how items are embedded
            labels = batch["labels"][number][batch["attention_mask"][number]]
            costs.append(float(model.backbone(input_ids=ids[None], labels=labels[None]).loss))
        else:
            logits = model.backbone.lm_head(model.read(ids[None], model.rows())[0, start - 1 : -1])
            costs.append(float(functional.cross_entropy(logits, ids[start:])))
    spelled, text = (sum(c for c, i in zip(costs, ITEM_ROWS) if (i >= 0) == yes) for yes in (True, False))
    if kind == "vocabulary":  # a mean over tokens, as stock models have it
        spelled *= 4 / tokens
    assert float(model(**batch)["loss"]) == pytest.approx((spelled + text) / len(ITEM_ROWS), abs=1e-4)


@pytest.mark.parametrize("kind", HEADS)
def test_all_weights_learn_from_items_and_from_text(kind):
    model, batch = causal(language(tied=False), **HEADS[kind]), asked()
    model(**batch)["loss"].backward()
    for name, weight in model.named_parameters():
        assert (weight.grad is not None and float(weight.grad.abs().sum()) > 0) == weight.requires_grad, name
    items = {name: value[:1] for name, value in batch.items()}
    model.zero_grad()
    model(**items)["loss"].backward()
    used = model.backbone.lm_head.weight.grad
    assert (used is None) == (kind in ("mean", "mass"))  # an item asks nothing of a language head it does not use


def test_the_language_head_sees_labelled_positions_only(monkeypatch):
    model, batch, seen = causal(), asked(), []
    head = model.backbone.lm_head
    head.register_forward_hook(lambda _, given, __: seen.append(given[0].shape))
    model(**batch)
    text = batch["labels"][torch.tensor(ITEM_ROWS) < 0]
    assert seen == [(int((text >= 0).sum()), WIDTH)]
    seen.clear()
    model(**{name: value[[0, 2]] for name, value in batch.items()})
    assert seen == []


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16])
def test_mixed_precision_stays_near_and_finite(kind, weights):
    model, batch = causal(language().to(weights), **HEADS[kind]), asked()
    with torch.no_grad():
        exact = float(causal(**HEADS[kind])(**batch)["loss"])
    with torch.autocast("cpu", torch.bfloat16, enabled=weights == torch.float32):
        loss = model(**batch)["loss"]
        scores = model.path_logp(*prompts(), torch.arange(8).view(4, 2), histories())
    assert loss.dtype == scores.logp.dtype == torch.float32
    assert float(loss.detach()) == pytest.approx(exact, rel=0.1)
    (loss + scores.logp.sum() + scores.entropy.sum()).backward()
    assert all(bool(weight.grad.isfinite().all()) for weight in model.parameters() if weight.grad is not None)


def repeated(model: TSRecNetwork, items_BG: Tensor, seen_BH: Tensor) -> tuple[Tensor, Tensor]:
    """Return log-probabilities and entropies (B, G, S) with the prompt repeated for every completion, and no mask."""
    ids, mask = prompts(len(items_BG))
    rows, trie = model.rows(), model.trie
    found = []
    for b, g in torch.cartesian_prod(*map(torch.arange, items_BG.shape)).tolist():
        path = [node for node in trie.ancestors()[items_BG[b, g]].tolist() if node >= 0] if items_BG[b, g] >= 0 else []
        prompt = ids[b][mask[b]].tolist()
        text = torch.tensor([prompt + [int(trie.token[node]) for node in path[:-1]]])
        states = model.refined(model.read(text, rows)[:, len(prompt) - 1 :])
        taken = states.new_zeros(2, trie.longest)
        for step, (above, node) in enumerate(zip([0, *path], path)):
            first, last = trie.child_offsets[above : above + 2].tolist()
            given = rows, states[:, step : step + 1], torch.tensor([[above]]), step, seen_BH[b : b + 1]
            choice = model.head.score_legal(*given)[0, 0, : last - first]
            taken[:, step] = torch.stack([choice[node - first - 1], -(choice.exp() * choice).sum()])
        found.append(taken)
    both = torch.stack(found, dim=1).view(2, *items_BG.shape, -1)
    return both[0], both[1]


@pytest.mark.parametrize(
    ("kind", "family", "attention"),
    [
        ("vocabulary", "qwen2", "sdpa"),
        ("catalog", "qwen3", "eager"),
        ("mean", "llama", "sdpa"),
        ("mass", "qwen2", "sdpa"),
        ("catalog", "gpt2", "eager"),
        ("mass", "gemma3", "sdpa"),
    ],
)
def test_one_reading_of_the_prompt_has_the_gradients_of_one_per_completion(kind, family, attention):
    """In double precision; items may come twice, end early or be missing, prompts are of unequal length."""
    model = causal(language(family, attention=attention), **HEADS[kind]).double()
    items_BG = torch.tensor([[7, 7, 30], [0, 11, -1], [39, 5, 6]])
    seen_BH = histories(3)
    weights = torch.rand(2, *items_BG.shape, model.trie.longest, generator=torch.Generator().manual_seed(0)).double()
    got: list[tuple[Tensor, Tensor, dict[str, Tensor]]] = []
    for scores in (model.path_logp(*prompts(3), items_BG, seen_BH), repeated(model, items_BG, seen_BH)):
        model.zero_grad()
        (scores[0] * weights[0] + scores[1] * weights[1]).sum().backward()
        got.append((scores[0].detach(), scores[1].detach(), gradients(model)))
    one, two = got
    assert torch.allclose(one[0], two[0], atol=1e-6)
    assert torch.allclose(one[1], two[1], atol=1e-6)
    assert apart(one[2], two[2]) < 1e-6
    assert float(one[0].min()) < -0.1  # something is at stake
    assert not one[0][1, 2].any()


def test_probabilities_of_all_items_sum_to_one_whatever_the_likelihood():
    for kind, settings in HEADS.items():
        model = causal(**settings)
        with torch.no_grad():
            scores = model.path_logp(*prompts(2), torch.arange(ITEMS).expand(2, -1), histories(2))
        assert torch.allclose(scores.logp.sum(2).exp().sum(1), torch.ones(2), atol=1e-4), kind
        assert float(scores.entropy.min()) >= -1e-6


def test_identifiers_of_one_token_are_scored_at_the_root():
    trie = Trie.build(np.arange(10, dtype=np.int32)[:, None] + FIRST_TOKEN)
    model = TSRecNetwork(language(), TSRecNetworkSettings(neighbor_features=0), trie).eval()
    with torch.no_grad():
        scores = model.path_logp(*prompts(2), torch.arange(10).expand(2, -1), torch.full((2, 1), -1))
    assert torch.allclose(scores.logp.sum(2).exp().sum(1), torch.ones(2), atol=1e-5)


def test_tied_weights_are_saved_once_and_loaded_again():
    model = causal(language(), head="grounded", embeddings="grounded")
    state = model.state_dict()
    assert len({value.data_ptr() for value in state.values()}) == len(state)
    other = causal(language(seed=1), head="grounded", embeddings="grounded", seed=1)
    other.load_state_dict(state)
    with torch.no_grad():
        assert torch.equal(model(**asked())["loss"], other(**asked())["loss"])
    del state["head.outward.weight"]
    with pytest.raises(RuntimeError, match=r"head\.outward\.weight"):
        other.load_state_dict(state)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValidationError, match='needs likelihood "catalog"'):
        TSRecNetworkSettings(head="grounded", likelihood="vocabulary")
    with pytest.raises(ValidationError, match="set that head"):
        TSRecNetworkSettings(embeddings="grounded")
    backbone = language()
    backbone.config._attn_implementation = "flash_attention_2"
    with pytest.raises(SettingsError, match=r"'flash_attention_2'.*sdpa, eager"):
        causal(backbone)
    with pytest.raises(SettingsError, match="BloomForCausalLM accepts no custom positions"):
        causal(BloomForCausalLM(BloomConfig(vocab_size=60, hidden_size=16, n_layer=1, n_head=2)))
    model = causal()
    batch = asked()
    with pytest.raises(DataError, match="padding on the right"):
        model(**{**batch, "attention_mask": batch["attention_mask"].flip(1)})
    model.backbone.config.sliding_window = 10
    with pytest.raises(DataError, match="attention window of 10"):
        model.encode(*prompts())


def test_families_are_stock():
    """What is under test is the library's own modelling code, of every family."""
    assert {type(language(name)).__module__.split(".")[0] for name in FAMILIES} == {"transformers"}
