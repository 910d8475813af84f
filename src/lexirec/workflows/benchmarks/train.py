"""Benchmark of GRAM training: packed windows against one sample per prefix; time, loss and gradients.

Legend: `B` samples, `H` history, `L` tokens of an identifier.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexirec.core.progress import Progress
from lexirec.data.sequences import Sequences
from lexirec.models.gram.training import Windows, packed_windows, windows_per_prefix
from lexirec.nn.t5 import SIZES
from lexirec.workflows.benchmarks import reference
from lexirec.workflows.benchmarks.fixtures import Sizes, World, beauty_like_lengths, make_world
from lexirec.workflows.benchmarks.measure import least_time, timings

TOLERANCE = 1e-4
"""Largest difference of losses, and of gradients relative to the largest entry of their tensor."""
BATCH_PROMPTS = 100
"""Item prompts per batch, padding included."""
ALIKE = 0.8
"""Least ratio of a batch's shortest to its longest row, as in an epoch of many users."""
REFERENCE = (
    "stock transformers with one sample per prefix: each prefix encodes every item of its history and the user prompt;"
    " padding prompts, which GRAM encodes, too, are not encoded; samples of similar length are batched"
)


class Pass(NamedTuple):
    """One pass over all targets: mean loss per token, gradients by name, seconds."""

    loss: float
    gradients: dict[str, Tensor]
    seconds: float


def bench_train(users: int = 14, repeats: int = 1, sizes: Sizes | None = None, seed: int = 0) -> dict[str, Any]:
    """Train on the same targets from packed windows and from one sample per prefix.

    A pass is a forward and a backward over every target in small batches and one step of AdamW (learning rate 0, so
    that all passes have the same weights; dropout is off). Rows have the lengths of Beauty's, each representing an
    equal share of users, so a pass is a small epoch: with 14 users the reference encodes 5.85 times as many item
    prompts as ours, on Beauty 5.86 times (880,671 and 150,203). Windows of rows above 21 items overlap, and histories
    in them may be shorter than the reference's; loss and gradients are compared where histories are equal, and in
    double precision: in single precision a ReLU unit near zero may switch by rounding, and with it a gradient.

    Args:
        users: number of training rows.
        repeats: timed passes of each way, in turns.
        sizes: sizes of model and catalogue; by default T5-small on Beauty. `width` is not used.
        seed: seed of weights, identifiers and rows.

    Returns:
        `speedup` (medians), `identical` (loss and gradients of a quarter of the users), seconds with their spread,
        items encoded, the lower bound `floor_seconds`.
    """
    sizes = sizes or Sizes()
    world, rows = make_world(sizes, seed), _rows(users, sizes, seed)
    passes: tuple[list[Pass], list[Pass]] = ([], [])
    with Progress("Training", total=2 * (repeats + 1)) as progress:
        agreement = _agreement(world, rows.take(np.arange(len(rows) > 1, len(rows), 4)), sizes.history, progress)
        optimizer = _ready(world)
        for _ in range(repeats):
            for (cut, loss), done in zip(WAYS, passes):
                done.append(_pass(world, cut(rows, sizes.history), loss, optimizer))
                progress.advance()
    return _figures(sizes, passes) | agreement | _work(sizes, world, rows)


def _figures(sizes: Sizes, passes: tuple[list[Pass], list[Pass]]) -> dict[str, Any]:
    ours, theirs = ([each.seconds for each in way] for way in passes)
    return {
        "speedup": median(theirs) / median(ours),
        **timings("", ours),
        **timings("reference_", theirs),
        "reference": REFERENCE,
        "prompt_tokens": sizes.prompt,
        "threads": torch.get_num_threads(),
    }


def _agreement(world: World, rows: Sequences, history: int, progress: Progress) -> dict[str, Any]:
    """Compare loss and gradients in double precision on the newest window of some users."""
    world.model.double()
    passes: list[Pass] = []
    for cut, loss in WAYS:
        passes.append(_pass(world, cut(rows.last(history + 1), history), loss))
        progress.advance()
    world.model.float()
    ours, theirs = passes
    losses, gradients = abs(ours.loss - theirs.loss), _difference(ours.gradients, theirs.gradients)
    return {
        "identical": max(losses, gradients) <= TOLERANCE,
        "loss_difference": losses,
        "gradient_difference": gradients,
    }


def _ready(world: World) -> torch.optim.Optimizer:
    """Return AdamW after its first step, which allocates its state."""
    optimizer = torch.optim.AdamW(world.model.parameters(), lr=0.0)
    for weight in world.model.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    return optimizer


def _work(sizes: Sizes, world: World, rows: Sequences) -> dict[str, Any]:
    packed, separate = packed_windows(rows, sizes.history), windows_per_prefix(rows, sizes.history)
    return {
        "users": len(rows),
        "targets": int(packed.targets.sum()),
        "items_encoded": int((packed.rows.lengths - 1).sum()),
        "reference_items_encoded": int((separate.rows.lengths - 1).sum()),
        **least_time(*_least_work(sizes, world, packed, separate)),
    }


def _rows(users: int, sizes: Sizes, seed: int) -> Sequences:
    rng = np.random.default_rng([seed, 3])
    return Sequences.from_lists([rng.integers(0, sizes.items, size=length) for length in beauty_like_lengths(users)])


def _pass(
    world: World,
    windows: Windows,
    loss: Callable[[World, Windows, NDArray[np.int64]], Tensor],
    optimizer: torch.optim.Optimizer | None = None,
) -> Pass:
    """Run forward and backward over all targets, batch by batch, then one optimizer step."""
    tokens = _target_tokens(world, windows)
    world.model.zero_grad()
    begin = time.perf_counter()
    total = 0.0
    for part in _alike(windows):
        share = loss(world, windows, part) * float(tokens[part].sum() / tokens.sum())
        share.backward()  # type: ignore[no-untyped-call]
        total += share.item()
    if optimizer is not None:
        optimizer.step()
    seconds = time.perf_counter() - begin
    weights = world.model.named_parameters()
    return Pass(total, {name: weight.grad.clone() for name, weight in weights if weight.grad is not None}, seconds)


def _alike(windows: Windows) -> list[NDArray[np.int64]]:
    """Batch windows of similar length, longest first, as an epoch of many users would."""
    lengths = windows.rows.lengths
    parts: list[list[int]] = []
    for number in np.argsort(-lengths, kind="stable").tolist():
        longest = lengths[parts[-1][0]] if parts else 0
        if lengths[number] < ALIKE * longest or (not parts) or (len(parts[-1]) + 1) * (longest - 1) > BATCH_PROMPTS:
            parts.append([])
        parts[-1].append(number)
    return [np.array(part) for part in parts]


def _target_tokens(world: World, windows: Windows) -> NDArray[np.int64]:
    """Return the number of target tokens of each window, end tokens included."""
    lengths = (world.tokens >= 0).sum(axis=1) + 1
    spelled = [lengths[windows.rows.row(number)[first:]].sum() for number, first in enumerate(windows.first)]
    return np.array(spelled, dtype=np.int64)


def _packed_loss(world: World, windows: Windows, part: NDArray[np.int64]) -> Tensor:
    loss: Tensor = world.model(**windows.batch(part))["loss"]
    return loss


def _separate_loss(world: World, windows: Windows, part: NDArray[np.int64]) -> Tensor:
    newest_first = _newest_first(windows.rows.take(part))
    targets_B, histories_BH = newest_first[:, 0], newest_first[:, 1:]
    labels_BL = world.model.trie.sequences()[targets_B]
    return reference.loss(world, histories_BH, labels_BL.masked_fill(labels_BL < 0, -100))


def _newest_first(rows: Sequences) -> Tensor:
    return torch.from_numpy(rows.padded(int(rows.lengths.max()), newest_first=True)).long()


def _difference(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """Largest difference of gradients relative to the largest entry of each tensor; infinite if one is missing."""
    if ours.keys() != theirs.keys():
        return float("inf")
    return max(float((ours[name] - theirs[name]).abs().max() / theirs[name].abs().max()) for name in ours)


WAYS = (packed_windows, _packed_loss), (windows_per_prefix, _separate_loss)
"""Ours and the reference: how rows become samples, and the loss of a batch."""


def _least_work(sizes: Sizes, world: World, packed: Windows, separate: Windows) -> tuple[float, float]:
    """Return the operations of encoder, keys, values and decoder, times three for the backward; bytes of weights."""
    size = SIZES[sizes.backbone.removeprefix("scratch:")]
    width, layers, inner = size["d_model"], size["layers"], size["feed_forward"]
    users_RL = world.user_prompts(_newest_first(separate.rows)[:, 1:])[1]
    read = int((packed.rows.lengths - 1).sum()) * sizes.prompt + int(users_RL.sum())
    per_token = layers * (12 * width**2 + 4 * width * inner + 4 * sizes.prompt * width)
    per_step = layers * (12 * width**2 + 4 * width * inner) + 2 * width * sizes.vocabulary
    forward = read * per_token + int(_target_tokens(world, packed).sum()) * per_step
    weights = sum(weight.numel() for weight in world.model.parameters())
    return 3.0 * forward, 4.0 * 7 * weights  # AdamW reads four and writes three numbers for each weight
