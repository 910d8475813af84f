"""The identifiers in use as a tree of prefixes, to which new ones are added one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Prefix = tuple[int, ...]


class Occupied:
    """Prefixes of identifiers in use: which tokens follow each, and which of them are whole identifiers."""

    def __init__(self, tokens: Iterable[NDArray[np.integer]]) -> None:
        """Enter identifiers, rows of tokens padded with −1."""
        self._below: dict[Prefix, set[int]] = {(): set()}
        self._whole: set[Prefix] = set()
        for rows in tokens:
            for row in rows.tolist():
                self.add([token for token in row if token >= 0])

    def add(self, identifier: Sequence[int]) -> None:
        """Enter one identifier; one that is there already stays once."""
        prefix: Prefix = ()
        for token in identifier:
            self._below.setdefault(prefix, set()).add(token)
            prefix = (*prefix, token)
        self._whole.add(prefix)

    def below(self, prefix: Prefix) -> set[int]:
        """Return the tokens that follow a prefix."""
        return self._below.get(prefix, set())

    def is_whole(self, prefix: Prefix) -> bool:
        """Whether a prefix is an identifier, behind which nothing may follow."""
        return prefix in self._whole

    def is_free(self, prefix: Prefix) -> bool:
        """Whether no identifier begins with this prefix."""
        return prefix not in self._whole and prefix not in self._below
