"""Item prompts of GRAM as token ids: identifier, similar items and metadata of each item, built once per catalogue.

Identifiers enter prompts as token ids and are never tokenised again (spec section 4.4), so an item's own field, the
lists of similar items and the user prompt (`user_prompts`) spell it alike.

Legend: `I` items, `K` tokens of an identifier with its separator, `M` similar items, `F` fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from lexirec.core.errors import SettingsError, did_you_mean
from lexirec.models.gram.settings import PromptSettings
from lexirec.nn.ragged import Ragged, side_by_side
from lexirec.nn.tokenizer import continuation, encode, encode_all


@dataclass(frozen=True)
class PartCensus:
    """How many tokens of one part or field fit into the prompts, over the whole catalogue.

    Attributes:
        name: "item", "similar_items" or the field's name.
        visible: Content tokens within the limit; labels and separators are not counted.
        total: All content tokens.
        items: Items that have the part.
        cut: Items whose part is cut.
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
    """The census of all parts (the table of spec section 6.2), and the prompts' lengths, end tokens included."""

    parts: tuple[PartCensus, ...]
    mean_length: float
    longest: int


@dataclass(frozen=True, eq=False)
class _Segment:
    """One part of all item prompts: label and content tokens, the label's length, content before any limit (I,)."""

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
        texts: The catalogue's fields by name, one text per item; empty ones leave the field out of the prompt.
        identifiers: int (n_items, longest), −1 padded, ids of the tokenizer's pieces.
        neighbors: int (n_items, M), item numbers, best first, −1 where there is none.
        tokenizer: The backbone's.
        settings: Parts and limits.

    Returns:
        One row of ids per item, and the census of what fits into the limits.

    Raises:
        SettingsError: the settings name a field that the catalogue lacks, or similar items without neighbours.
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
    for setting, named in (("fields", names), ("field_weights", tuple(settings.field_weights))):
        for name in named:
            if name not in texts:
                raise SettingsError(
                    f"prompts.{setting} names '{name}', which is no text field of the catalogue; it has"
                    f" {', '.join(texts) or '(none)'}.{did_you_mean(name, texts)}"
                )
    return names


def _link(table_IK: Tensor, tokenizer: PreTrainedTokenizerBase, settings: PromptSettings) -> _Segment:
    """Return the item's own identifier, which links the item prompt to the user prompt."""
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
        raise SettingsError(
            "prompts.parts holds 'similar_items', but there are no neighbours; give them, or leave the part out"
        )
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
    """Return one segment per field; the layout budgets cuts it to its share of the metadata tokens."""
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
        limits = limits.masked_fill(limits <= segment.label, 0)  # a label without content is useless
        cut.append(_Segment(segment.name, segment.tokens.head(limits), segment.label, segment.total))
    return cut


def share_tokens(needed_FI: Tensor, weights_F: Tensor, total: int) -> Tensor:
    """Split `total` tokens of each item among its fields by weight; a field's unused tokens go to the others.

    Args:
        needed_FI: int64 (F, I), tokens of each field.
        weights_F: float (F,), positive.
        total: Tokens of an item.

    Returns:
        int64 (F, I), at most `needed_FI`; a column sums to `total` or to all that is needed, whichever is less.
    """
    granted_FI = torch.zeros_like(needed_FI)
    for _ in range(len(weights_F)):  # each round fills at least one field, or only rounding remains
        weights_FI = (granted_FI < needed_FI) * weights_F.double()[:, None]
        left_I = total - granted_FI.sum(0)
        shares_FI = (left_I * weights_FI / weights_FI.sum(0).clamp(min=1e-12)).floor().long()
        granted_FI = torch.minimum(needed_FI, granted_FI + shares_FI)
    for field in range(len(weights_F)):
        granted_FI[field] += torch.minimum(needed_FI[field] - granted_FI[field], total - granted_FI.sum(0))
    return granted_FI


def _assemble(
    segments: list[_Segment], items: int, tokenizer: PreTrainedTokenizerBase, settings: PromptSettings
) -> tuple[Ragged, PromptCensus]:
    """Join the segments with ";", cut the whole prompt in the layout paper, and append the end token."""
    separator = continuation(tokenizer, ";")
    everywhere = torch.ones(items, dtype=torch.bool)
    limit = settings.max_length - 1 if settings.layout == "paper" else np.iinfo(np.int32).max
    pieces = [Ragged.repeated([], everywhere)]
    filled_I = torch.zeros(items, dtype=torch.int64)
    counts = []
    for segment in segments:
        # a separator stands before a segment only where the item has an earlier one
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


def _count(segment: _Segment, limit_I: Tensor) -> PartCensus:
    visible_I = (torch.minimum(segment.tokens.lengths, limit_I) - segment.label).clamp(min=0)
    return PartCensus(
        segment.name,
        visible=int(visible_I.sum()),
        total=int(segment.total.sum()),
        items=int((segment.total > 0).sum()),
        cut=int((visible_I < segment.total).sum()),
    )
