import torch
from torch.testing import assert_close

from lexirec.models.gram.window_batch import Batch
from lexirec.workflows.benchmarks import reference
from lexirec.workflows.benchmarks.fixtures import make_world
from tests.workflows.benchmarks.test_fixtures import TINY


@torch.no_grad()
def test_the_reference_reads_what_the_model_reads():
    world = make_world(TINY, seed=0)
    oldest_first = torch.tensor([[7, 3, 9]])
    theirs = reference.fuse(world, oldest_first.flip(1))
    ours = world.model.fuse(Batch(oldest_first, torch.tensor([[3]])), world.model.head.rows())[0].flat()
    # ours stands oldest first behind the user prompt, theirs newest first; prompts are equally long here
    blocks = [part.unflatten(1, (4, -1))[:, [0, 3, 2, 1]].flatten(1, 2) for part in (theirs.states_BTD, theirs.mask_BT)]
    assert_close(ours.states_BTD[ours.mask_BT], blocks[0][blocks[1]])


@torch.no_grad()
def test_samples_do_not_touch_each_other():
    world = make_world(TINY, seed=0)
    labels = world.model.trie.sequences()[[5, 6]]
    labels = labels.masked_fill(labels < 0, -100)
    together = reference.loss(world, torch.tensor([[7, 3, 9], [4, -1, -1]]), labels)
    tokens = (labels >= 0).sum(1)
    alone = [
        reference.loss(world, torch.tensor([history]), labels[row : row + 1])
        for row, history in enumerate([[7, 3, 9], [4]])
    ]
    assert_close(together, sum(loss * count for loss, count in zip(alone, tokens)) / tokens.sum())


def test_the_dictionary_holds_every_identifier():
    world = make_world(TINY, seed=0)
    nested = reference.nest(world.tokens)
    for item in (0, 17, TINY.items - 1):
        node = nested
        for token in world.model.trie.path(int(world.model.trie.item_node[item])):
            node = node[token]
        assert node == {}
