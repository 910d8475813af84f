import pytest
import torch

from lexirec.decoding.beam import beam_search
from lexirec.decoding.constraints import allowed_bias
from lexirec.decoding.exact import exact_scores, top_items
from lexirec.models.gram.network import GramNetwork
from lexirec.models.gram.step_decoder import GramStepDecoder, ItemStates, encode_catalog
from tests.worlds.ensemble import ITEMS, combinations, fusion, name, padded

EVERY = pytest.mark.parametrize("chosen", combinations(), ids=name)
HISTORIES = [[3, 4, 5], [], [7, 8, 9, 10, 11, 12, 13], [6], [21, 20, 21, 21]]


def exact(model: GramNetwork, histories: list[list[int]] = HISTORIES, **given) -> torch.Tensor:
    return exact_scores(model.trie, GramStepDecoder(model, padded(histories), **given))


@EVERY
@torch.no_grad()
def test_scores_are_the_losses_of_teacher_forcing(chosen):
    model = fusion(**chosen)
    found = exact(model)
    for row, history in enumerate(HISTORIES):
        read = history[-4:]
        if "no_repeat" not in chosen and history != read and model.settings.pooling == "mass":
            read = history if chosen.get("user_prompt") != "grounded" else None  # the whole history is penalised
        if not read:
            continue
        for item in (0, 17, 8, 21):
            loss = model(torch.tensor([[*read, item]]), torch.tensor([[len(read)]]))["loss"]
            if model.settings.likelihood == "vocabulary":  # a mean over tokens
                loss = loss * model.trie.depth[model.trie.item_node[item]]
            assert float(found[row, item]) == pytest.approx(-float(loss), abs=1e-4)


@EVERY
@torch.no_grad()
def test_probabilities_sum_to_one_over_the_catalogue_or_less_over_the_vocabulary(chosen):
    model = fusion(**chosen)
    total = exact(model).exp().sum(1)
    if model.settings.likelihood == "catalog":
        assert torch.allclose(total, torch.ones(len(HISTORIES)), atol=1e-4)
    else:
        assert (total < 0.5).all()
        assert (total > 0).all()


@EVERY
@torch.no_grad()
def test_beams_at_full_width_are_exact(chosen):
    model = fusion(**chosen)
    trie = model.trie
    steps = GramStepDecoder(model, padded(HISTORIES), cache=encode_catalog(model))
    found = beam_search(trie, steps, width=trie.n_nodes, k=ITEMS)
    want = top_items(exact(model), ITEMS)
    assert found.exact.all()
    assert torch.allclose(found.scores, want.scores, atol=1e-4)
    by_item = [torch.empty(5, ITEMS).scatter(1, beams.items, beams.scores) for beams in (found, want)]
    assert torch.allclose(*by_item, atol=1e-4)


@EVERY
@torch.no_grad()
def test_encodings_and_rows_made_once_change_nothing(chosen):
    model = fusion(**chosen)
    direct = exact(model)
    assert torch.allclose(exact(model, cache=encode_catalog(model, batch_size=9)), direct, atol=1e-5)
    assert torch.equal(exact(model, rows=model.head.rows()), direct)


@EVERY
@torch.no_grad()
def test_company_does_not_matter(chosen):
    model = fusion(**chosen)
    together = exact(model)
    for row, history in enumerate(HISTORIES):
        assert torch.allclose(exact(model, [history])[0], together[row], atol=1e-5)


@EVERY
@torch.no_grad()
def test_only_the_newest_items_of_a_history_are_read(chosen):
    """Except that all of it counts as seen where repeats are penalised."""
    model = fusion(**chosen)
    if getattr(model.head, "repeat", None) is not None:
        model.head.repeat.fill_(-1e9)
    assert torch.allclose(exact(model, [[30, 31, 32, 10, 11, 12, 13]]), exact(model, [[10, 11, 12, 13]]), atol=1e-5)
    assert not torch.allclose(exact(model, [[10, 11, 12, 13]]), exact(model, [[13, 12, 11, 10]]), atol=1e-5)


@torch.no_grad()
def test_items_beyond_those_read_are_penalised_too():
    model = fusion(head="grounded", pooling="mass")
    history = [30, 31, 32, 10, 11, 12, 13]
    mild = exact(model, [history])[0]
    model.head.repeat.fill_(4.0)
    harsh = exact(model, [history])[0]
    unseen = [item for item in range(ITEMS) if item not in history]
    assert (harsh[history] < mild[history] - 5).all()
    assert float(harsh[unseen].exp().sum()) == pytest.approx(1, abs=1e-4)


@EVERY
@torch.no_grad()
def test_denied_items_are_never_spelled(chosen):
    model = fusion(**chosen)
    may = torch.ones(len(HISTORIES), ITEMS, dtype=torch.bool)
    may[:, ::2] = False
    may[3] = False
    may[3, 5] = True
    bias = allowed_bias(model.trie, may)
    steps = GramStepDecoder(model, padded(HISTORIES))
    for width in (3, 1000):
        found = beam_search(model.trie, steps, width=width, k=25, bias_BN=bias)
        steps = GramStepDecoder(model, padded(HISTORIES))
        assert found.items[3, 0] == 5
        assert (found.items[3, 1:] == -1).all()
        there = found.items >= 0
        assert may.gather(1, found.items.clamp(min=0))[there].all()
        assert (there.sum(1)[:3] == 20).all() or width == 3


@torch.no_grad()
def test_newcomers_alone_and_histories_without_columns():
    for chosen in combinations():
        model = fusion(**chosen)
        none = exact_scores(model.trie, GramStepDecoder(model, torch.zeros(2, 0, dtype=torch.int64)))
        assert none.isfinite().all()
        assert torch.allclose(none, exact(model, [[], [1]])[:1].expand(2, -1), atol=1e-5), name(chosen)


@torch.no_grad()
def test_the_catalogue_is_encoded_row_by_row_as_items_are():
    model = fusion()
    encodings = encode_catalog(model, batch_size=16)
    assert isinstance(encodings, ItemStates)
    chosen = torch.tensor([39, 0, 7])
    states, mask = encodings.take(chosen)
    direct, of_direct = model.encode_items(chosen)
    assert torch.equal(mask, of_direct)
    assert torch.allclose(states[mask], direct[mask], atol=1e-5)
    assert mask.any(0).all()
