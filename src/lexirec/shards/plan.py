"""A plan of shards: a fixed list of ranges of rows, each of which becomes one Parquet file, a *part*.

The name of a part holds its number and the first digits of the plan's digest, so a part of other inputs or settings is
never taken for one of this plan. A part is there or it is not: what is pending is found by listing names. Two processes
that make the same part write the same bytes, so it does no harm that a lost worker's part is made again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from lexirec.core.errors import ArtifactError, SettingsError
from lexirec.core.files import read_json, write_json
from lexirec.shards.parts import check_part

SUCCESS = "_SUCCESS"
"""Manifest of a finished plan, in the folder of its parts."""
_DIGITS = 8
_PART = re.compile(r"part-(\d{5,})-([0-9a-f]{8})\.parquet")


@dataclass(frozen=True)
class Shard:
    """The rows `start` to `stop - 1`, which become part `number`."""

    number: int
    start: int
    stop: int

    def __len__(self) -> int:
        """Number of rows."""
        return self.stop - self.start


class Share(NamedTuple):
    """The shards of one process among several: those whose number leaves the rest `number` when divided by `of`."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read I/N, such as 0/8, the first of eight.

        Raises:
            SettingsError: it is no share.
        """
        match = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", text)
        if match is None or not int(match[1]) < int(match[2]):
            raise SettingsError(f"shard '{text}': write I/N, the I-th of N shares counted from 0, such as 0/8 … 7/8")
        return cls(int(match[1]), int(match[2]))


@dataclass(frozen=True)
class ShardPlan:
    """Shards of equal size over rows in a fixed order.

    Attributes:
        rows: Number of rows.
        rows_per_shard: Rows of every shard but the last.
        digest: SHA-256 of the inputs, the settings and these sizes, in hexadecimal digits.
    """

    rows: int
    rows_per_shard: int
    digest: str

    @classmethod
    def over(cls, rows: int, rows_per_shard: int, made_of: Mapping[str, Any]) -> Self:
        """Plan shards.

        Args:
            rows: Number of rows, at least 1.
            rows_per_shard: Rows of a shard, at least 1.
            made_of: What the parts depend on: digests of inputs, settings; JSON values.

        Raises:
            SettingsError: a size is below 1.
        """
        for name, value in (("rows", rows), ("rows_per_shard", rows_per_shard)):
            if value < 1:
                raise SettingsError(f"{name} is {value}; it should be at least 1")
        content = {"rows": rows, "rows_per_shard": rows_per_shard, "made_of": dict(made_of)}
        return cls(rows, rows_per_shard, digest_of(content))

    @property
    def key(self) -> str:
        """First digits of the digest, which the names of all parts hold."""
        return self.digest[:_DIGITS]

    def __len__(self) -> int:
        """Number of shards."""
        return -(-self.rows // self.rows_per_shard)

    def shard(self, number: int) -> Shard:
        """Return a shard by its number, from 0."""
        if not 0 <= number < len(self):
            raise IndexError(f"shard {number} of {len(self)}")
        start = number * self.rows_per_shard
        return Shard(number, start, min(start + self.rows_per_shard, self.rows))

    def part(self, out: Path, number: int) -> Path:
        """Return the file of a part, whether it exists or not."""
        return out / f"part-{number:05d}-{self.key}.parquet"

    def pending(self, out: Path, share: Share | None = None) -> list[Shard]:
        """Return the shards whose parts are not there yet, in order; of one share only, where it is given.

        Raises:
            ArtifactError: the folder holds parts of another plan.
        """
        there = self._there(out)
        numbers = range(len(self)) if share is None else range(share.number, len(self), share.of)
        return [self.shard(number) for number in numbers if number not in there]

    def _there(self, out: Path) -> set[int]:
        found = [match for path in out.glob("part-*.parquet") if (match := _PART.fullmatch(path.name)) is not None]
        other = sorted({match[2] for match in found} - {self.key})
        if other:
            raise ArtifactError(
                f"{out} holds parts of another plan ({other[0]}; this one is {self.key}): inputs or settings have "
                "changed since; choose another folder, or remove the old parts"
            )
        return {int(match[1]) for match in found}

    def verify(self, out: Path, facts: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Check that every part is there once, with its rows and undamaged; write and return the manifest `_SUCCESS`.

        Args:
            out: Folder of the parts.
            facts: What else the manifest says; by default what the one that is there says.

        Returns:
            `rows`, `rows_per_shard`, `plan` (digest of the plan), `digest` (SHA-256 over the digests of all parts),
            `parts` (name, rows and SHA-256 of each) and `facts`.

        Raises:
            ArtifactError: a part is missing or damaged.
        """
        missing = self.pending(out)
        if missing:
            numbers = ", ".join(str(shard.number) for shard in missing[:5]) + (", …" if len(missing) > 5 else "")
            raise ArtifactError(
                f"{out}: {len(missing):,} of {len(self):,} parts are missing ({numbers}); run the same command again"
            )
        before = read_json(out / SUCCESS)
        known = {each["name"]: each["sha256"] for each in before.get("parts", ())} if self._made(before) else {}
        parts = []
        for number in range(len(self)):
            path = self.part(out, number)
            sha256 = check_part(path, len(self.shard(number)))
            if known.get(path.name, sha256) != sha256:
                raise ArtifactError(f"{path} has changed since {SUCCESS} was written; remove both and run again")
            parts.append({"name": path.name, "rows": len(self.shard(number)), "sha256": sha256})
        manifest = {
            "rows": self.rows,
            "rows_per_shard": self.rows_per_shard,
            "plan": self.digest,
            "digest": digest_of([each["sha256"] for each in parts]),
            "facts": before.get("facts", {}) if facts is None else dict(facts),
            "parts": parts,
        }
        for abandoned in out.glob(f"part-*-{self.key}.parquet.*.partial"):
            abandoned.unlink(missing_ok=True)
        write_json(out / SUCCESS, manifest)
        return manifest

    def _made(self, manifest: Mapping[str, Any]) -> bool:
        return manifest.get("plan") == self.digest


def digest_of(value: Any) -> str:
    """Return the SHA-256 of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
