"""Which users a second model answers: a share of them, always the same ones, by a salted hash of their ids."""

from __future__ import annotations

import hashlib

from lexirec.serving.answering.snapshot import ModelIdentity
from lexirec.serving.settings import TrafficSettings


class Split:
    """The split of the traffic between the active model and a candidate.

    Attributes:
        candidate: The second model; None where there is none.
        shadow: Whether the candidate answers nobody, and only computes lists to compare.
    """

    def __init__(self, settings: TrafficSettings | None = None) -> None:
        """Split as the settings say; the candidate is named once it is loaded."""
        self._settings = settings or TrafficSettings()
        self.candidate: ModelIdentity | None = None
        self.shadow = self._settings.shadow

    def takes(self, owner: str | None) -> bool:
        """Say whether the candidate has a user or session: always the same ones, and none of the requests of nobody."""
        if owner is None:
            return False
        text = f"{self._settings.salt}\0{self._settings.candidate}\0{owner}"
        digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
        return int.from_bytes(digest, "big") < self._settings.share * 2.0**64
