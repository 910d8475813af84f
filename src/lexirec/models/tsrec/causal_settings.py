"""What a causal recommender scores, and how it embeds items."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from lexirec.nn.head_settings import HeadSettings


class CausalSettings(HeadSettings):
    """What is scored, and how items are embedded."""

    embeddings: Literal["tokens", "grounded"] = "tokens"
    """How items in prompts are embedded: by their tokens, or by their tokens plus the rows of the nodes these enter."""

    @model_validator(mode="after")
    def _embeds_what_it_has(self) -> Self:
        if self.embeddings == "grounded" and self.head != "grounded":
            raise ValueError('embeddings "grounded" are the rows of head "grounded"; set that head, too')
        return self
