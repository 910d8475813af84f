"""Permuted identifiers: a control that assigns the identifiers of another scheme to random items."""

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
    """Settings of permuted identifiers: another scheme's, assigned to random items; same tree, no meaning."""

    kind: Literal["permuted"] = "permuted"
    of: DealtChoice = LexicalIdentifiers()
    """The permuted scheme."""
    seed: int = 0
    """Seed of the permutation."""

    def needed(self) -> tuple[str, ...]:
        """Return the inputs of the permuted scheme."""
        return self.of.needed()

    def identify(self, inputs: NamingInputs) -> Identifiers:
        """Return the scheme's identifiers, permuted."""
        return permuted(self.of.identify(inputs), self.seed)


def permuted(identifiers: Identifiers, seed: int) -> Identifiers:
    """Permute identifiers so that every item gets another item's (a random cycle through all items)."""
    order = np.random.default_rng(seed).permutation(len(identifiers))
    tokens = np.empty_like(identifiers.tokens)
    tokens[order] = identifiers.tokens[np.roll(order, 1)]
    return Identifiers(tokens, identifiers.pieces)
