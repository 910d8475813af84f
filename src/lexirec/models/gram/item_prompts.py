"""What the encoder reads about items, as token ids: one prompt per item, made once per catalogue.

Identifiers are put in as the ids they are and never tokenised again (spec section 4.4), so an item's own field, the
lists of similar items and the user prompt (`user_prompts`) spell it alike.

Legend: `I` items, `K` tokens of one spelled item, `M` similar items, `F` fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from lexirec.core.config import Settings
from lexirec.core.errors import SettingsError, did_you_mean
from lexirec.nn.ragged import Ragged, side_by_side
from lexirec.nn.tokenizer import continuation, encode, encode_all

Part = Literal["item", "similar_items", "metadata"]
HISTORY = "{history}"


class PromptSettings(Settings):
    """What prompts hold, in which order, and how many tokens each part may take.

    The ablations of spec section 10.2: without linking, `parts = ["similar_items", "metadata"]`; without the
    collaborative attribute, `parts = ["item", "metadata"]`; identifiers only, `parts = ["item", "similar_items"]`;
    nothing, `parts = []`; only title, `fields = ["title"]`. Other identifiers are the caller's choice.
    """

    layout: Literal["budgets", "paper"] = "budgets"
    """budgets: every part has its own limit, so that none pushes out another. paper: one limit for the whole, whatever
    stands last is lost (on Beauty that is 99 % of the descriptions), and user prompts are cut at the same limit."""
    max_length: int = Field(default=128, ge=2)
    """Tokens of a prompt, its end included, in the layout paper; of no meaning in the layout budgets."""
    parts: tuple[Part, ...] = ("item", "similar_items", "metadata")
    """What an item prompt holds, in this order."""
    fields: tuple[str, ...] | None = None
    """Metadata fields, in this order; by default all text fields of the catalogue."""
    similar_items: int = Field(default=10, ge=0)
    """Similar items to name, best first."""
    identifier_tokens: int = Field(default=32, ge=1)
    """Layout budgets: tokens of the item's own identifier."""
    similar_tokens: int = Field(default=90, ge=0)
    """Layout budgets: tokens of the list of similar items; whole identifiers are dropped, the least similar first."""
    metadata_tokens: int = Field(default=64, ge=0)
    """Layout budgets: tokens of all metadata fields together, labels and separators included. Short fields leave what
    they do not need to longer ones."""
    field_weights: dict[str, float] = Field(default_factory=dict)
    """Layout budgets: a field's claim on the metadata tokens; by default 1, 1/2, 1/3, … in the order of the fields."""
    user_max_length: int = Field(default=256, ge=8)
    """Layout budgets: tokens of a user prompt; whole identifiers are dropped beyond it, the oldest first."""
    user_template: str = "What would user purchase after {history} ?"
    """The user prompt; `{history}` stands for the identifiers, newest first, joined by " ; "."""

    @field_validator("user_template")
    @classmethod
    def _one_history(cls, template: str) -> str:
        if template.count(HISTORY) != 1:
            raise ValueError(f"should hold {HISTORY} once")
        return template

    @field_validator("parts")
    @classmethod
    def _each_part_once(cls, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        if len(set(parts)) < len(parts):
            raise ValueError("should name each part once")
        return parts

    @field_validator("field_weights")
    @classmethod
    def _weights_are_positive(cls, weights: dict[str, float]) -> dict[str, float]:
        if any(weight <= 0 for weight in weights.values()):
            raise ValueError("should hold weights above 0; leave a field out of 'fields' instead")
        return weights


@dataclass(frozen=True)
class PartCensus:
    """How much of one part or field the encoder sees, over the whole catalogue.

    Attributes:
        name: "item", "similar_items" or the field's name.
        visible: Content tokens within the limit; labels and separators are not counted.
        total: Content tokens there are.
        items: Items that have the part.
        cut: Items whose part is not wholly visible.
    """

    name: str
    visible: int
    total: int
    items: int
    cut: int

    @property
    def share(self) -> float:
        """Visible tokens of all tokens; 1 where there are none."""
        return self.visible / self.total if self.total else 1.0


@dataclass(frozen=True)
class PromptCensus:
    """The census of all parts (the table of spec section 6.2), and the lengths of the prompts, their ends included."""

    parts: tuple[PartCensus, ...]
    mean_length: float
    longest: int


@dataclass(frozen=True, eq=False)
class _Segment:
    """One part of all item prompts: label and content tokens, the label's length, content before any budget (I,)."""

    name: str
    tokens: Ragged
    label: int
    total: Tensor

    @classmethod
    def of(cls, name: str, tokens: Ragged, label: int) -> Self:
        return cls(name, tokens, label, (tokens.lengths - label).clamp(min=0))


def item_prompts(
    texts: Mapping[str, Sequence[str]],
    identifiers: NDArray[np.integer],
    neighbors: NDArray[np.integer] | None,
    tokenizer: PreTrainedTokenizerBase,
    settings: PromptSettings,
) -> tuple[Ragged, PromptCensus]:
    """Build `item: {ID}; similar items: {ID, …}; title: …; …` for every item, as token ids that end with `</s>`.

    Args:
        texts: The catalogue's fields by name, one text per item; empty where unknown, such fields are left out.
        identifiers: int (n_items, longest), −1 padded, ids of the tokenizer's pieces.
        neighbors: int (n_items, M), item numbers, best first, −1 where there is none.
        tokenizer: The backbone's.
        settings: What prompts hold.

    Returns:
        One row of ids per item, and the census of what the limits leave visible.

    Raises:
        SettingsError: a field that the catalogue does not have, or similar items without neighbours.
    """
    names = _field_names(texts, settings)
    table_IK = torch.from_numpy(np.ascontiguousarray(identifiers, dtype=np.int32))
    segments: list[_Segment] = []
    for part in settings.parts:
        if part == "item":
            segments.append(_link(table_IK, tokenizer, settings))
        elif part == "similar_items" and settings.similar_items:
            segments.append(_similar(table_IK, neighbors, tokenizer, settings))
        elif part == "metadata":
            segments += _metadata({name: texts[name] for name in names}, tokenizer, settings)
    return _assemble(segments, len(table_IK), tokenizer, settings)


def _field_names(texts: Mapping[str, Sequence[str]], settings: PromptSettings) -> tuple[str, ...]:
    names = tuple(texts) if settings.fields is None else settings.fields
    for setting, given in (("fields", names), ("field_weights", tuple(settings.field_weights))):
        for name in given:
            if name not in texts:
                raise SettingsError(
                    f"prompts.{setting} names '{name}'; the catalogue has the text fields"
                    f" {', '.join(texts) or '(none)'}.{did_you_mean(name, texts)}"
                )
    return names


def _link(table_IK: Tensor, tokenizer: PreTrainedTokenizerBase, settings: PromptSettings) -> _Segment:
    """Return the item's own identifier, by which the model finds it in the user prompt again."""
    label = encode(tokenizer, "item:")
    own = Ragged.from_padded(table_IK)
    segment = _Segment.of("item", side_by_side([Ragged.repeated(label, own.lengths > 0), own]), len(label))
    if settings.layout == "paper":
        return segment
    limits = torch.full((len(table_IK),), len(label) + settings.identifier_tokens)
    return _Segment("item", segment.tokens.head(limits), len(label), segment.total)


def _similar(
    table_IK: Tensor,
    neighbors: NDArray[np.integer] | None,
    tokenizer: PreTrainedTokenizerBase,
    settings: PromptSettings,
) -> _Segment:
    """Return the collaborative attribute: identifiers of similar items, best first, joined by ", " (spec section 5)."""
    if neighbors is None:
        raise SettingsError("prompts.parts holds 'similar_items', but there are no neighbours; leave the part out")
    near_IM = torch.from_numpy(np.ascontiguousarray(neighbors[:, : settings.similar_items], dtype=np.int64))
    present_IM = near_IM >= 0
    follows_IM = present_IM & (present_IM.cumsum(1) > 1)
    comma = torch.tensor(continuation(tokenizer, ","), dtype=torch.int32)
    lists_IMK = torch.cat(
        [
            torch.where(follows_IM[..., None], comma, -1),
            torch.where(present_IM[..., None], table_IK[near_IM.clamp(min=0)], -1),
        ],
        dim=2,
    )
    lengths_IM = (lists_IMK >= 0).sum(2)
    if settings.layout == "budgets":
        lists_IMK[lengths_IM.cumsum(1) > settings.similar_tokens] = -1
    content = Ragged.from_padded(lists_IMK.flatten(1))
    label = encode(tokenizer, "similar items:")
    tokens = side_by_side([Ragged.repeated(label, content.lengths > 0), content])
    return _Segment("similar_items", tokens, len(label), lengths_IM.sum(1))


def _metadata(
    texts: Mapping[str, Sequence[str]], tokenizer: PreTrainedTokenizerBase, settings: PromptSettings
) -> list[_Segment]:
    """Return one segment per field, cut to its share of the metadata tokens in the layout budgets."""
    segments = []
    for name, values in texts.items():
        label = name.replace("_", " ")
        lines = [f"{label}: {value}" if value.strip() else "" for value in values]
        segments.append(
            _Segment.of(name, encode_all(tokenizer, lines, f"tokenising {name}"), len(encode(tokenizer, f"{label}:")))
        )
    if settings.layout == "paper" or not segments:
        return segments
    separator = len(continuation(tokenizer, ";"))
    needed_FI = torch.stack([segment.tokens.lengths + separator * (segment.tokens.lengths > 0) for segment in segments])
    weights_F = torch.tensor(
        [settings.field_weights.get(segment.name, 1 / rank) for rank, segment in enumerate(segments, start=1)]
    )
    limits_FI = share_tokens(needed_FI, weights_F, settings.metadata_tokens) - separator
    cut = []
    for segment, limits in zip(segments, limits_FI, strict=True):
        limits = limits.masked_fill(limits <= segment.label, 0)  # a label without content says nothing
        cut.append(_Segment(segment.name, segment.tokens.head(limits), segment.label, segment.total))
    return cut


def share_tokens(needed_FI: Tensor, weights_F: Tensor, total: int) -> Tensor:
    """Share `total` tokens of each item among its fields, by weight, what a field does not need going to the others.

    Args:
        needed_FI: int64 (F, I), tokens each field would take.
        weights_F: float (F,), positive.
        total: Tokens of an item.

    Returns:
        int64 (F, I), at most `needed_FI`; a column sums to `total` or to all that is needed, whichever is less.
    """
    given_FI = torch.zeros_like(needed_FI)
    for _ in range(len(weights_F)):  # each round either fills a field or only roundings are left
        weights_FI = (given_FI < needed_FI) * weights_F.double()[:, None]
        left_I = total - given_FI.sum(0)
        shares_FI = (left_I * weights_FI / weights_FI.sum(0).clamp(min=1e-12)).floor().long()
        given_FI = torch.minimum(needed_FI, given_FI + shares_FI)
    for field in range(len(weights_F)):
        given_FI[field] += torch.minimum(needed_FI[field] - given_FI[field], total - given_FI.sum(0))
    return given_FI


def _assemble(
    segments: list[_Segment], items: int, tokenizer: PreTrainedTokenizerBase, settings: PromptSettings
) -> tuple[Ragged, PromptCensus]:
    """Join the segments with ";", cut the whole in the layout paper, and put the end behind."""
    separator = continuation(tokenizer, ";")
    everywhere = torch.ones(items, dtype=torch.bool)
    limit = settings.max_length - 1 if settings.layout == "paper" else np.iinfo(np.int32).max
    pieces = [Ragged.repeated([], everywhere)]
    filled_I = torch.zeros(items, dtype=torch.int64)
    counts = []
    for segment in segments:
        present = segment.tokens.lengths > 0
        mark = Ragged.repeated(separator, present & (filled_I > 0))
        pieces += [mark, segment.tokens]
        filled_I = filled_I + mark.lengths
        counts.append(_count(segment, limit - filled_I))
        filled_I = filled_I + segment.tokens.lengths
    body = side_by_side(pieces).head(torch.full((items,), limit))
    prompts = side_by_side([body, Ragged.repeated([tokenizer.eos_token_id], everywhere)])
    lengths = prompts.lengths
    census = PromptCensus(
        tuple(counts), float(lengths.double().mean()) if items else 0.0, int(lengths.max()) if items else 0
    )
    return prompts, census


def _count(segment: _Segment, room_I: Tensor) -> PartCensus:
    visible_I = (torch.minimum(segment.tokens.lengths, room_I) - segment.label).clamp(min=0)
    return PartCensus(
        segment.name,
        visible=int(visible_I.sum()),
        total=int(segment.total.sum()),
        items=int((segment.total > 0).sum()),
        cut=int((visible_I < segment.total).sum()),
    )
