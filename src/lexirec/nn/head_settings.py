"""What both families are told about their heads: what is scored, over what, and what items' rows are made of."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from lexirec.core.config import Settings


class HeadSettings(Settings):
    """How the children of the trie's nodes are scored, and what items' rows are made of where they are grounded."""

    likelihood: Literal["catalog", "vocabulary"] = "catalog"
    """Over what a step's probabilities sum to one: the legal children of the trie's node, or the whole vocabulary
    (GRAM's and MiniOneRec's)."""
    head: Literal["vocabulary", "grounded"] = "vocabulary"
    """Rows of the backbone's output layer (GRAM's and MiniOneRec's), or built from the items below a node."""
    pooling: Literal["mean", "mass"] = "mass"
    """How a grounded head judges a node: by the mean of its items' rows, or by the sum of its items' probabilities."""
    cosine: bool = True
    """Whether a grounded head compares directions only, with a learned temperature."""
    temperature: float = Field(default=0.07, gt=0)
    """Where the temperature starts."""
    no_repeat: bool = True
    """Whether a grounded head with pooling mass learns a penalty on items of the history."""
    refine: bool = True
    """Whether the later steps of a grounded head refine what the first one asked for, by a learned share that starts at
    zero, instead of asking anew. It starts as one softmax over all items spelled out along the tree, and the root
    learns from every target which items, not only which cells, are wanted."""
    neighbor_features: int = Field(default=10, ge=0)
    """Neighbours whose mean vector joins an item's features (grounded only)."""
    neighbor_rows: int = Field(default=0, ge=0)
    """Neighbours whose rows are mixed into an item's row, weighted by their scores (grounded only)."""

    @property
    def grounded(self) -> bool:
        """Whether item rows are needed at all."""
        return self.head == "grounded"

    @property
    def flat(self) -> bool:
        """Whether the root has a distribution over items, which a teacher's may be compared with."""
        return self.grounded and self.pooling == "mass"

    @model_validator(mode="after")
    def _rows_are_of_nodes(self) -> Self:
        if self.head == "grounded" and self.likelihood == "vocabulary":
            raise ValueError(
                'head "grounded" has rows for nodes, not for the vocabulary; it needs likelihood "catalog"'
            )
        return self
