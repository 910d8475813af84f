"""Permuted identifiers: a control that deals the identifiers of another scheme out to the items at random."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from lexirec.core.registry import choice_of
from lexirec.semantic_ids.identifiers.base import IdentifierSettings, NamingInputs
from lexirec.semantic_ids.identifiers.identifiers import Identifiers
from lexirec.semantic_ids.identifiers.registry import SCHEMES
from lexirec.semantic_ids.identifiers.schemes import LexicalIdentifiers

if TYPE_CHECKING:
    DealtChoice = IdentifierSettings
else:
    DealtChoice = choice_of((SCHEMES[kind] for kind in SCHEMES if kind not in ("published", "permuted")), "lexical")


class PermutedIdentifiers(IdentifierSettings):
    """The control: identifiers of any kind, dealt out to the items at random; the tree stays, its meaning goes."""

    kind: Literal["permuted"] = "permuted"
    of: DealtChoice = LexicalIdentifiers()
    """The identifiers that are dealt out."""
    seed: int = 0
    """Of who gets which."""

    def needed(self) -> tuple[str, ...]:
        """Return what the identifiers that are dealt out need."""
        return self.of.needed()

    def identify(self, inputs: NamingInputs) -> Identifiers:
        """Name the items by identifiers of other items."""
        return permuted(self.of.identify(inputs), self.seed)


def permuted(identifiers: Identifiers, seed: int) -> Identifiers:
    """Deal identifiers out anew, every item another one's where it can (a random cycle through all items)."""
    order = np.random.default_rng(seed).permutation(len(identifiers))
    tokens = np.empty_like(identifiers.tokens)
    tokens[order] = identifiers.tokens[np.roll(order, 1)]
    return Identifiers(tokens, identifiers.pieces)
