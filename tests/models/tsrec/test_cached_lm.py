import numpy as np
import torch

from lexirec.decoding.trie import Trie
from lexirec.models.tsrec.cached_lm import enter, mentioned_nodes
from tests.worlds.tsrec import HEADS, causal, identifiers, language, prompts

TRIE = Trie.build(np.array([[50, 51, 52], [50, 51, 53], [50, 54, -1], [55, -1, -1]]))


def test_items_are_found_wherever_they_stand_cut_ones_as_far_as_they_go():
    texts = torch.tensor([[9, 50, 51, 53, 55, 50, 54, 51], [52, 50, 50, 51, 9, 52, 55, 0]])
    nodes = mentioned_nodes(TRIE, texts)
    paths = [[TRIE.path(node) for node in row] for row in nodes.tolist()]
    assert paths[0] == [[], [50], [50, 51], [50, 51, 53], [55], [50], [50, 54], []]
    assert paths[1] == [[], [50], [50], [50, 51], [], [], [55], []]


def test_every_item_of_a_prompt_is_found_at_its_last_token():
    trie = Trie.build(identifiers())
    ids, _ = prompts()
    nodes = mentioned_nodes(trie, ids)
    for row, text in zip(nodes.tolist(), ids.tolist()):
        there = [place for place in range(1, len(text)) if text[place] == 4]  # a separator follows each item
        assert there
        assert all(int(trie.node_item[row[place - 1]]) >= 0 for place in there)


def test_entering_follows_edges_only():
    for node in range(TRIE.n_nodes):
        children = {int(TRIE.token[c]): c for c in range(TRIE.n_nodes) if int(TRIE.parent[c]) == node}
        tokens = torch.arange(60)
        found = enter(TRIE, torch.full_like(tokens, node), tokens)
        assert {t: c for t, c in enumerate(found.tolist()) if c} == children


@torch.no_grad()
def test_rows_of_nodes_have_the_size_of_looked_up_tokens():
    """Gemma multiplies what it looks up by √width, so that rows at the size of its table would hardly count."""
    for family in ("qwen2", "gemma3"):
        backbone = language(family)
        model = causal(backbone, **HEADS["mass"])
        looked_up = backbone.get_input_embeddings()(torch.arange(60))
        assert torch.isclose(model.size, looked_up.square().mean().sqrt(), rtol=1e-3)
    assert model.size > 3 * backbone.get_input_embeddings().weight.square().mean().sqrt()
