"""Benchmark of a GRPO step: each prompt encoded once against once per completion; time, loss, gradients.

Legend: `B` prompts, `G` completions of a prompt, `S` tokens of an identifier, `L` tokens, `V` vocabulary,
`C` children.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import Qwen2Config, Qwen2ForCausalLM

from lexirec.core.progress import Progress
from lexirec.decoding.trie import Trie
from lexirec.models.tsrec.network import TSRecNetwork
from lexirec.models.tsrec.rollouts import advantages, group_loss
from lexirec.models.tsrec.settings import Limits, TSRecNetworkSettings
from lexirec.workflows.benchmarks.measure import least_time, timings

TOLERANCE = 1e-4
"""Largest difference of losses, and of gradients relative to the largest entry of their tensor."""
REFERENCE = (
    "stock transformers with the prompt repeated for each completion, and logits of the completion tokens only;"
    " log-probabilities over legal tokens, clipping and KL are the same; both exclude the search"
)
_LIMITS = Limits()
_LEVELS = (48, 256, 256)  # codes per level, as MiniOneRec's for Industrial


@dataclass(frozen=True)
class GroupSizes:
    """Sizes of a GRPO step.

    Attributes:
        layers: layers of the Qwen2.
        width: width of the hidden states.
        heads: attention heads.
        inner: width of the feed-forward layers.
        vocabulary: words, without the tokens of identifiers.
        items: items of the catalogue.
        prompt: tokens of a prompt.
        group: completions per prompt.
    """

    layers: int = 8
    width: int = 512
    heads: int = 8
    inner: int = 1536
    vocabulary: int = 32_000
    items: int = 3_686
    prompt: int = 200
    group: int = 16


class GroupWorld(NamedTuple):
    """A policy and its frozen reference, prompts (B, L), proposed items (B, G) and their advantages (B, G)."""

    policy: TSRecNetwork
    reference: TSRecNetwork
    prompts_BL: Tensor
    items_BG: Tensor
    advantages_BG: Tensor

    def first(self) -> GroupWorld:
        """Return the same with one prompt."""
        return self._replace(
            prompts_BL=self.prompts_BL[:1], items_BG=self.items_BG[:1], advantages_BG=self.advantages_BG[:1]
        )


Scorer = Callable[[TSRecNetwork, GroupWorld], Tensor]
"""Function that returns the log-probabilities (B, G, S) of the proposed items' tokens among legal ones."""


class _Step(NamedTuple):
    loss: float
    gradients: dict[str, Tensor]
    seconds: float


def bench_grpo(prompts: int = 2, repeats: int = 3, sizes: GroupSizes | None = None, seed: int = 0) -> dict[str, Any]:
    """Run the same GRPO step with prompts encoded once and with prompts repeated per completion.

    A step is the reference model's forward pass, the policy's forward and backward, and AdamW (learning rate 0, so that
    all steps have the same weights). Loss and gradients are compared on one prompt in double precision.

    Args:
        prompts: prompts per step.
        repeats: timed steps of each way, in turns.
        sizes: sizes of model, catalogue, prompts and groups.
        seed: seed of weights and data.

    Returns:
        `speedup` (medians), `identical`, seconds with their spread, tokens encoded, the lower bound
        `floor_seconds`.
    """
    sizes = sizes or GroupSizes()
    world = make_group_world(sizes, prompts, seed)
    seconds: tuple[list[float], list[float]] = ([], [])
    with Progress("Reinforcing", total=2 * (repeats + 1)) as progress:
        agreement = _agreement(world.first(), progress)
        optimizer = torch.optim.AdamW(world.policy.parameters(), lr=0.0)
        for _ in range(repeats):
            for scores, done in zip(WAYS, seconds):
                done.append(_step(world, scores, optimizer).seconds)
                progress.advance()
    ours, theirs = seconds
    return {
        "speedup": median(theirs) / median(ours),
        **timings("", ours),
        **timings("reference_", theirs),
        "reference": REFERENCE,
        "threads": torch.get_num_threads(),
        **agreement,
        **_work(sizes, prompts, world.policy),
    }


def make_group_world(sizes: GroupSizes, prompts: int, seed: int) -> GroupWorld:
    """Build policy and reference with random, slightly different weights, random prompts, proposals and rewards."""
    rng = np.random.default_rng([seed, 0])
    tokens = _identifiers(sizes, rng)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = Qwen2ForCausalLM(
            Qwen2Config(
                vocab_size=sizes.vocabulary + sum(_LEVELS),
                hidden_size=sizes.width,
                intermediate_size=sizes.inner,
                num_hidden_layers=sizes.layers,
                num_attention_heads=sizes.heads,
                num_key_value_heads=sizes.heads,
                tie_word_embeddings=True,
            )
        )
        policy = TSRecNetwork(backbone, TSRecNetworkSettings(neighbor_features=0), Trie.build(tokens)).eval()
        reference = copy.deepcopy(policy).requires_grad_(False)
        _shake(reference)
    ids = rng.integers(0, sizes.vocabulary, size=(prompts, sizes.prompt))
    items = np.stack([rng.choice(sizes.items, sizes.group, replace=False) for _ in range(prompts)])
    rewards = torch.from_numpy(rng.random(items.shape)).float()
    return GroupWorld(policy, reference, torch.from_numpy(ids), torch.from_numpy(items), advantages(rewards))


def _identifiers(sizes: GroupSizes, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return distinct identifiers (I, 3) of residual codes, with separate tokens per level."""
    chosen = rng.choice(int(np.prod(_LEVELS)), sizes.items, replace=False)
    first = sizes.vocabulary + np.cumsum((0, *_LEVELS[:-1]))
    codes: NDArray[np.int64] = np.stack(np.unravel_index(chosen, _LEVELS), axis=1).astype(np.int64)
    return codes + first.astype(np.int64)


@torch.no_grad()
def _shake(model: nn.Module) -> None:
    for weight in model.parameters():
        weight.add_(0.02 * weight.std(unbiased=False) * torch.randn_like(weight))


def shared(model: TSRecNetwork, world: GroupWorld) -> Tensor:
    """Encode each prompt once; all completions share its cache."""
    return model.path_logp(world.prompts_BL, torch.ones_like(world.prompts_BL).bool(), world.items_BG).logp


def repeated(model: TSRecNetwork, world: GroupWorld) -> Tensor:
    """Encode each prompt once per completion, as stock code does; a completion's last token is no input."""
    trie, group = model.trie, world.items_BG.shape[1]
    path_RS = trie.ancestors()[world.items_BG].flatten(0, 1)
    tokens_RS = trie.token[path_RS]
    ids_RL = torch.cat([world.prompts_BL.repeat_interleave(group, 0), tokens_RS[:, :-1]], dim=1)
    logits_RSV = model.backbone(input_ids=ids_RL, logits_to_keep=path_RS.shape[1], use_cache=False).logits
    above_RS = torch.cat([torch.zeros_like(path_RS[:, :1]), path_RS[:, :-1]], dim=1)
    children_RSC = trie.children(above_RS, max(trie.max_children))
    legal_RSC = logits_RSV.gather(-1, trie.token[children_RSC.clamp(min=1)])
    logp_RSC = legal_RSC.masked_fill(children_RSC < 0, -torch.inf).log_softmax(-1)
    taken_RS1 = (path_RS - trie.child_offsets[above_RS] - 1).unsqueeze(-1)
    taken_RS: Tensor = logp_RSC.gather(-1, taken_RS1).squeeze(-1)
    return taken_RS.view(*world.items_BG.shape, -1)


WAYS: tuple[Scorer, Scorer] = (shared, repeated)
"""Ours and the reference."""


def _step(world: GroupWorld, scores: Scorer, optimizer: torch.optim.Optimizer | None = None) -> _Step:
    world.policy.zero_grad()
    begin = time.perf_counter()
    with torch.no_grad():
        reference_BGS = scores(world.reference, world)
    logp_BGS = scores(world.policy, world)
    counts_BGS = torch.ones_like(logp_BGS, dtype=torch.bool)
    loss = group_loss(logp_BGS, logp_BGS.detach(), reference_BGS, world.advantages_BG, counts_BGS, _LIMITS).loss
    loss.backward()  # type: ignore[no-untyped-call]
    if optimizer is not None:
        optimizer.step()
    seconds = time.perf_counter() - begin
    weights = world.policy.named_parameters()
    return _Step(loss.item(), {name: w.grad.clone() for name, w in weights if w.grad is not None}, seconds)


def _agreement(world: GroupWorld, progress: Progress) -> dict[str, Any]:
    steps: list[_Step] = []
    for model in (world.policy, world.reference):
        model.double()
    for scores in WAYS:
        steps.append(_step(world, scores))
        progress.advance()
    for model in (world.policy, world.reference):
        model.float()
    ours, theirs = steps
    losses, gradients = abs(ours.loss - theirs.loss), _difference(ours.gradients, theirs.gradients)
    return {
        "identical": max(losses, gradients) <= TOLERANCE,
        "loss_difference": losses,
        "gradient_difference": gradients,
    }


def _difference(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """Largest difference of gradients relative to the largest entry of each tensor; infinite if one is missing."""
    if ours.keys() != theirs.keys():
        return float("inf")
    return max(float((ours[name] - theirs[name]).abs().max() / theirs[name].abs().max()) for name in ours)


def _work(sizes: GroupSizes, prompts: int, policy: TSRecNetwork) -> dict[str, Any]:
    """Return the tokens encoded either way and the lower bound of ours: four passes over layers, AdamW over weights."""
    entered = len(_LEVELS) - 1
    ours = prompts * (sizes.prompt + entered * sizes.group)
    per_token = sizes.layers * (8 * sizes.width**2 + 6 * sizes.width * sizes.inner + 4 * sizes.prompt * sizes.width)
    weights = sum(weight.numel() for weight in policy.parameters())
    return {
        "prompts": prompts,
        "group": sizes.group,
        "prompt_tokens": sizes.prompt,
        "tokens": ours,
        "reference_tokens": prompts * sizes.group * (sizes.prompt + entered),
        **least_time(4.0 * ours * per_token, 4.0 * 8 * weights),
    }
