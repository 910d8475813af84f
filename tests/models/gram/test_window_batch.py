from __future__ import annotations

import torch

from lexirec.models.gram.window_batch import (
    Batch,
    encode_blocks,
    history_positions,
    items_before_targets,
    newest_first,
    prepend_begin,
    without_unread,
)
from lexirec.nn.cross_attention import HIDDEN

BATCH = Batch(torch.tensor([[5, 6, 7, 8], [9, 5, -1, -1]]), torch.tensor([[2, 3], [1, -1]]))


def test_query_rows_read_the_items_before_their_targets():
    assert newest_first(BATCH, 2)[0].tolist() == [[6, 5], [7, 6]]
    assert newest_first(BATCH, 3)[1, 0].tolist() == [9, -1, -1]
    assert items_before_targets(BATCH)[0].tolist() == [[5, 6, -1, -1], [5, 6, 7, -1]]
    assert history_positions(BATCH, 2)[0].tolist() == [[2, 1, HIDDEN, HIDDEN], [HIDDEN, 2, 1, HIDDEN]]


def test_items_that_nobody_reads_are_dropped():
    assert without_unread(BATCH).items_BM.tolist() == [[5, 6, 7], [9, -1, -1]]


def test_each_distinct_item_is_encoded_once():
    encoded: list[list[int]] = []

    def encode(items_U: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        encoded.append(items_U.tolist())
        return items_U[:, None, None].float(), torch.ones(len(items_U), 1, dtype=torch.bool)

    states, mask = encode_blocks(BATCH.items_BM, encode)
    assert encoded == [[5, 6, 7, 8, 9]]
    assert states[..., 0, 0][mask[..., 0]].tolist() == [5, 6, 7, 8, 9, 5]


def test_the_begin_block_is_read_by_every_query_row():
    blocks = torch.ones(1, 2, 3, 4), torch.ones(1, 2, 3, dtype=torch.bool)
    (states, mask), slots = prepend_begin(blocks, torch.tensor([[[2, 1], [HIDDEN, 1]]]), torch.full((1, 4), 7.0))
    assert states[0, 0].tolist() == [[7.0] * 4, [0.0] * 4, [0.0] * 4]
    assert mask[0, 0].tolist() == [True, False, False]
    assert slots[0, :, 0].tolist() == [0, 0]
