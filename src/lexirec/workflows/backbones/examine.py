"""Examine a pretrained backbone: what it is and what training it needs here, or in one line why it cannot serve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from lexirec.core.errors import SettingsError
from lexirec.workflows.backbones.facts import BackboneFacts, load_facts
from lexirec.workflows.backbones.needs import CODES, LEVELS, Batch, Need, needs
from lexirec.workflows.doctor import Finding, free_memory

_GIB = 2**30
_WAYS = {"full": "all weights", "lora": "low-rank updates", "embeddings": "rows of new tokens"}


@dataclass(frozen=True)
class BackboneReport:
    """What a backbone is and needs.

    Attributes:
        facts: what it is.
        needs: what each way of training needs, for steps of `batch`.
        batch: rows, and tokens of each.
        device: that training uses.
        available: bytes of free memory on it; None where the system does not say.
    """

    facts: BackboneFacts
    needs: Sequence[Need]
    batch: Batch
    device: str
    available: int | None

    def findings(self) -> list[Finding]:
        """Return the report as rows of a table."""
        return [*_shape(self.facts), *_tokens(self.facts), *_left_behind(self.facts), *self._needed()]

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values; memory in bytes."""
        facts = asdict(self.facts) | {"spare_rows": self.facts.spare_rows}
        return {
            "backbone": facts,
            "batch": asdict(self.batch),
            "device": self.device,
            "available": self.available,
            "needs": [asdict(need) for need in self.needs],
        }

    def _needed(self) -> Iterator[Finding]:
        rows = f"{self.batch.rows} rows of {self.batch.length} tokens"
        for need in self.needs:
            least = need.probe or need.formula
            fits = self.available is None or least <= self.available
            parts = [f"{_gib(need.formula)} by the formula"]
            parts += [f"{_gib(need.probe)} by a probe"] if need.probe is not None else []
            parts += [f"{need.seconds:.3g} s a step of {rows}"] if need.seconds is not None else []
            parts += [f"no probe: {need.skipped}"] if need.skipped else []
            advice = "" if fits else "more than is free: another way of training, keep_layers, or a larger machine"
            yield Finding(f'train "{need.way}"', "ok" if fits else "note", ", ".join(parts), advice)
        free = "unknown" if self.available is None else _gib(self.available)
        added = f"probes add {CODES * LEVELS} tokens" if any(need.probe for need in self.needs) else "no probe was made"
        yield Finding("device", "ok", f"{self.device}, free memory {free}; {added}")


def examine_backbone(
    name: str, keep_layers: int | None = None, batch: Batch | None = None, *, probe: bool = True
) -> BackboneReport:
    """Load a backbone, say what it is, and measure what training it needs.

    Args:
        name: a folder, a GGUF file or a hub name.
        keep_layers: depth to cut it to; None for all layers.
        batch: that probes train on; by default 4 rows of 64 tokens.
        probe: False leaves the probes out, which take seconds to minutes.

    Raises:
        SettingsError: it cannot serve as a backbone; the message says why and what to do.
        ArtifactError: its files cannot be read, are incomplete, or do not belong together.
    """
    if name.startswith("scratch:"):
        raise SettingsError(f"--backbone is '{name}', which has random weights; name a pretrained model")
    chosen = batch or Batch()
    facts, backbone = load_facts(name, keep_layers)
    if facts.positions is not None and chosen.length > facts.positions:
        raise SettingsError(
            f"--length is {chosen.length}, but '{name}' has {facts.positions} positions; give at most as many"
        )
    available = _available()
    found = needs(facts, backbone, chosen, available if available is not None else 2**62, probe=probe)
    device = f"cuda: {torch.cuda.get_device_name(0)}" if torch.cuda.is_available() else "cpu"
    return BackboneReport(facts, found, chosen, device, available)


def _available() -> int | None:
    """Return the free memory of the device that training uses, in bytes."""
    return int(torch.cuda.mem_get_info()[0]) if torch.cuda.is_available() else free_memory()


# ------------------------------------------------------------------------------------------------------- rows of facts


def _shape(facts: BackboneFacts) -> Iterator[Finding]:
    yield Finding("backbone", "ok", f"{facts.architecture} ({facts.family}), {facts.kind}, from a {facts.source}")
    depth = f"{facts.layers} layers"
    depth += f" of {facts.layers_stored}" if facts.layers < facts.layers_stored else ""
    depth += " each in encoder and decoder" if facts.kind == "encoder-decoder" else ""
    heads = f"{facts.heads} heads of {facts.head_dim}"
    heads += f" ({facts.key_value_heads} with keys of their own)" if facts.key_value_heads < facts.heads else ""
    size = f"{facts.parameters:,} weights: {depth}, width {facts.width}, {heads}, feed-forward {facts.feed_forward}"
    yield Finding("size", "ok", size)
    if facts.positions is None:
        yield Finding("positions", "ok", "relative, without a limit")
    else:
        advice = "set prompts.max_length and prompts.max_history to what fits" if facts.prompt_limit else ""
        found = facts.prompt_limit or f"{facts.positions:,}, prompt and answer together"
        yield Finding("positions", "note" if facts.prompt_limit else "ok", found, advice)


def _tokens(facts: BackboneFacts) -> Iterator[Finding]:
    head = "the language head is the table (tied)" if facts.tied else "the language head is a table of its own"
    head += f", looked-up rows are multiplied by {facts.embedding_scale:.4g}" if facts.embedding_scale != 1 else ""
    spare = f"{facts.spare_rows} spare rows" if facts.spare_rows > 0 else "no spare rows"
    yield Finding("table", "ok", f"{facts.rows:,} rows, {facts.pieces:,} pieces, {spare}; {head}")
    named = ", ".join(f"{name} {token} ({number})" for name, (token, number) in facts.ends.items())
    begins = ""
    if facts.kind == "causal" and "bos" in facts.ends:
        begins = f"; prompts begin with {facts.ends['bos'][0]}"
        begins += "" if facts.begins else ", which the tokenizer itself does not put before texts"
    yield Finding("tokens", "ok", named + begins)


def _left_behind(facts: BackboneFacts) -> Iterator[Finding]:
    types = ", ".join(f"{kind} ({count:,} tensors)" for kind, count in sorted(facts.stored_as.items()))
    yield Finding("stored as", "ok", f"{types}; read as float32")
    if facts.generation:
        named = ", ".join(f"{key} {value}" for key, value in sorted(facts.generation.items()))
        yield Finding("generation", "note", named, "not used: lists come from a beam search over the identifiers")
    if facts.logits:
        named = ", ".join(f"{key} {value}" for key, value in sorted(facts.logits.items()))
        yield Finding(
            "logits", "note", named, "not used: scores are products with the language head, which training adapts"
        )


def _gib(size: int) -> str:
    return f"{size / _GIB:.2f} GiB" if size >= _GIB / 10 else f"{size / 2**20:.1f} MiB"
