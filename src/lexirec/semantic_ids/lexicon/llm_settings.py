"""Settings of lexicons written by a language model (client, shown items, calls), and of the contrastive lexicon."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SerializationInfo, field_serializer, model_serializer

from lexirec.core.config import Settings
from lexirec.core.renamed import renamed


class CallSettings(Settings):
    """Settings of the calls to a language model; they do not change the content of usable answers."""

    concurrency: Annotated[int, Field(ge=1)] = 8
    """Concurrent requests; a local model answers one question at a time."""
    timeout: Annotated[float, Field(gt=0)] = 120.0
    """Seconds without data from the endpoint after which a call fails."""
    retries: Annotated[int, Field(ge=0)] = 5
    """Retries after a failed call or an unusable answer."""
    first_wait: Annotated[float, Field(ge=0)] = 1.0
    """Seconds before the first retry; doubled for each further one, less a random part of up to half. A Retry-After
    header of the endpoint is the minimum."""
    longest_wait: Annotated[float, Field(ge=0)] = 60.0
    """Most seconds before a retry, unless Retry-After is longer."""
    max_tokens: Annotated[int, Field(ge=1)] = 1024
    """Most tokens of an answer."""
    json_mode: Literal["schema", "object", "none"] = "schema"
    """Response format requested from the endpoint; older ones support no schema, some not even objects."""
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable with the API key; your own endpoint (`base_url`) needs none. It is sent only to a host that
    `LEXIREC_TEACHER_HOSTS="HOST=VARIABLE"` names for it, or that is confirmed at a terminal."""
    input_price: Annotated[float, Field(ge=0)] | None = None
    """Price of a million input tokens, in any currency, for the estimate."""
    output_price: Annotated[float, Field(ge=0)] | None = None
    """Price of a million output tokens."""


class LLMLexicon(Settings):
    """Settings of `llm_lexicon`: keywords and a description per cell, written by a language model."""

    model_config = renamed(teacher="client")
    outside_the_key: ClassVar[tuple[str, ...]] = ("base_url", "calls")  # they do not change the answers
    kind: Literal["llm"] = "llm"
    client: Literal["openai", "transformers"] = "openai"
    """`openai`: any OpenAI-compatible endpoint (vLLM, Ollama, …); `transformers`: a chat model on this machine."""
    model: str = ""
    """Name of the model at the endpoint; for `transformers` a folder or hub name."""
    base_url: str | None = None
    """Address of the endpoint, such as http://localhost:8000/v1; none uses OpenAI's own."""
    keywords: Annotated[int, Field(ge=1)] = 20
    """Keywords per cell."""
    levels: Annotated[int, Field(ge=1)] | None = None
    """Number of described levels, from the first; none is all. A last level that only resolves collisions has no
    meaning to describe."""
    items_per_cell: Annotated[int, Field(ge=1)] = 30
    """Most items of a cell in the prompt."""
    shown: Literal["nearest", "sample"] = "nearest"
    """Choice of items of larger cells: those nearest to the cell's centre, or a random sample."""
    description_length: Annotated[int, Field(ge=0)] = 300
    """Most characters of an item's description in the prompt."""
    conditioned: bool = False
    """Describe tokens of residual codes, from the second level on, per parent prefix, and merge the descriptions."""
    temperature: Annotated[float, Field(ge=0)] | None = 0.0
    """Sampling temperature; none uses the endpoint's default."""
    seed: int = 0
    """Seed of the sample of items and of a local model's sampling."""
    calls: CallSettings = CallSettings()
    """Calls to the model."""

    @field_serializer("kind")
    def _stored_kind(self, kind: str) -> str:
        return _STORED_KIND

    @classmethod
    def formerly(cls, values: dict[str, Any], below: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """Read `kind = "teacher"`, as both kinds were called, see `renamed.respell`."""
        return _read_teacher(values, below)


class ContrastiveLexicon(Settings):
    """Settings of `contrastive_lexicon`: keywords and a description per cell from counts, without a language model."""

    outside_the_key: ClassVar[tuple[str, ...]] = LLMLexicon.outside_the_key
    kind: Literal["contrastive"] = "contrastive"
    keywords: Annotated[int, Field(ge=1)] = 20
    """Keywords per cell."""
    levels: Annotated[int, Field(ge=1)] | None = None
    """Number of described levels, from the first; none is all. A last level that only resolves collisions has no
    meaning to describe."""
    conditioned: bool = False
    """Describe tokens of residual codes, from the second level on, per parent prefix, and merge the descriptions."""
    seed: int = 0
    """Has no effect, since nothing is sampled; it is part of the artifact's key."""

    @model_serializer
    def _stored(self, info: SerializationInfo) -> dict[str, Any]:
        """Serialise as `LLMLexicon` with teacher "none", the stored form of both lexicons."""
        own = {name: getattr(self, name) for name in ("keywords", "levels", "conditioned", "seed")}
        stored = {**LLMLexicon(**own).model_dump(mode="json"), "teacher": "none"}
        left_out: Any = info.exclude or ()
        return {name: value for name, value in stored.items() if name not in left_out}

    @classmethod
    def formerly(cls, values: dict[str, Any], below: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """Read `kind = "teacher"`, as both kinds were called, see `renamed.respell`."""
        return _read_teacher(values, below)


_STORED_KIND = "teacher"
"""The kind of both lexicons in what is stored; its `teacher` is the client, or "none" for the contrastive one."""


def _read_teacher(values: dict[str, Any], below: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Give a table that says `kind = "teacher"`, or changes the `teacher` of such a one, the kind that it means now.

    What only a language model reads is left out of a contrastive lexicon, where it never had an effect. The table
    below gets the kind, too, since changing the teacher never emptied it.
    """
    kinds = ("contrastive", "llm")
    kind, before = values.get("kind"), below.get("kind")
    changes = kind is None and "teacher" in values and before in kinds
    if kind != _STORED_KIND and not changes:
        return
    teacher = values.get("teacher", values.get("client"))
    new = "contrastive" if teacher in ("none", None) else "llm"
    if teacher is None and before in kinds:
        new = before
    if before in kinds:
        below["kind"] = new
    if kind is not None or new == "contrastive":
        values["kind"] = new
    if new == "contrastive":
        values.pop("teacher", None)
        for table in (values, below):
            for name in LLMLexicon.model_fields.keys() - ContrastiveLexicon.model_fields.keys():
                table.pop(name, None)
    old = f'kind = "{kind}"' if kind is not None else f'teacher = "{teacher}"'
    yield old, f'kind = "{new}"'
