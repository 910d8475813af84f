"""Batches of rows of similar length, and blocks of text for language-model pretraining (causal, span corruption)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lexirec.data.sequences import Sequences

_SPREAD = 0.1
"""Lengths are perturbed by up to this share before sorting, so that batches differ between epochs."""


def batches_by_length(lengths: NDArray[np.integer], batch_size: int, seed: Sequence[int]) -> list[NDArray[np.int64]]:
    """Group rows of similar length into equal batches of at most `batch_size`, in random order.

    The number of batches depends on the number of rows alone, so that all epochs are equally long and a run can resume
    in the middle of one.

    Args:
        lengths: of each row.
        batch_size: maximum number of rows in a batch.
        seed: of the order.
    """
    random = np.random.default_rng(seed)
    noisy_lengths = lengths * random.uniform(1 - _SPREAD, 1 + _SPREAD, len(lengths))
    parts = np.array_split(np.argsort(noisy_lengths, kind="stable"), max(1, -(-len(lengths) // batch_size)))
    return [parts[number] for number in random.permutation(len(parts))]


# --------------------------------------------------------------------------------------------------------------- blocks
# Blocks of text of equal length, whole or with spans masked by sentinels.
#
# Legend: `B` blocks, `L` tokens of a block, `M` tokens of a block with sentinels, `Q` tokens of the masked spans.


Ints = NDArray[np.int64]


def blocks(documents: Sequences, length: int, seed: Sequence[int] | None = None) -> Ints:
    """Concatenate documents and cut them into blocks of `length` tokens: (B, L).

    The remainder, less than a block, is dropped; with a seed it differs between orders. Fewer tokens than a block make
    one short block.

    Args:
        documents: rows of token ids.
        length: tokens of a block.
        seed: of a random order; without one the documents keep their order.
    """
    if seed is not None:
        documents = documents.take(np.random.default_rng(seed).permutation(len(documents)))
    tokens = documents.items.astype(np.int64)
    length = max(1, min(length, len(tokens)))
    return tokens[: len(tokens) // length * length].reshape(-1, length)


def spans_of(length: int, share: float, mean: float) -> tuple[int, int]:
    """Return how many tokens of a block (at least 3) are masked, and in how many spans of about `mean` tokens."""
    taken = min(max(round(length * share), 1), length - 2)
    return taken, min(max(round(taken / mean), 1), taken, length - taken - 1)


def random_spans(shape: tuple[int, int], share: float, mean: float, random: np.random.Generator) -> NDArray[np.bool_]:
    """Draw a mask of spans: bool (B, L), equally many tokens and spans in each row, never the first or last token.

    Spans and the text before, between and behind them have random lengths of at least one token. (In T5's code no text
    follows the last span, so every block's last token is masked.)
    """
    rows, length = shape
    taken, spans = spans_of(length, share, mean)
    # lengths alternate between text and span; the parity of the number of ends passed tells which one a token is in
    lengths_BS = np.empty((rows, 2 * spans + 1), dtype=np.int64)
    lengths_BS[:, ::2] = _parts(rows, length - taken, spans + 1, random)
    lengths_BS[:, 1::2] = _parts(rows, taken, spans, random)
    ends_BS = lengths_BS.cumsum(axis=1)
    begins_BL = np.zeros(shape, dtype=np.int64)
    np.put_along_axis(begins_BL, ends_BS[:, :-1], 1, axis=1)
    masked: NDArray[np.bool_] = begins_BL.cumsum(axis=1) % 2 == 1
    return masked


def _parts(rows: int, total: int, parts: int, random: np.random.Generator) -> Ints:
    """Split `total` into random positive parts, independently for each row: (rows, parts)."""
    cut = np.tile(np.arange(total - 1) < parts - 1, (rows, 1))
    positions = np.nonzero(random.permuted(cut, axis=1))[1].reshape(rows, parts - 1) + 1
    return np.diff(positions, axis=1, prepend=0, append=total)


def corrupt(tokens_BL: Ints, taken_BL: NDArray[np.bool_], sentinels: Ints, end: int) -> tuple[Ints, Ints]:
    """Replace spans of blocks by sentinels (span corruption).

    Args:
        tokens_BL: the blocks.
        taken_BL: the spans, equally many tokens and spans in every row, never the first or last token.
        sentinels: tokens that replace the first, second … span, and one more.
        end: token appended to both results.

    Returns:
        Blocks (B, M) with a sentinel for each span, and the spans (B, Q), each behind its sentinel, with one more
        sentinel behind the last (T5, figure 2 of its paper).
    """
    return _without(tokens_BL, taken_BL, sentinels, end), _without(tokens_BL, ~taken_BL, sentinels, end)


def _without(tokens_BL: Ints, taken_BL: NDArray[np.bool_], sentinels: Ints, end: int) -> Ints:
    begins_BL = taken_BL.copy()
    begins_BL[:, 1:] &= ~taken_BL[:, :-1]
    number_BL = begins_BL.cumsum(axis=1) - 1
    marked_BL = np.where(begins_BL, sentinels[number_BL.clip(0, len(sentinels) - 1)], tokens_BL)
    kept = marked_BL[begins_BL | ~taken_BL].reshape(len(tokens_BL), -1)
    return np.pad(kept, ((0, 0), (0, 1)), constant_values=end)
