"""Settings of the lexicon by a teacher: whom to ask, what to show, how to call."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from lexirec.core.config import Settings


class CallSettings(Settings):
    """How a teacher is called; nothing here changes what a usable answer says."""

    concurrency: Annotated[int, Field(ge=1)] = 8
    """Questions on their way at once; a local model answers one after the other."""
    timeout: Annotated[float, Field(gt=0)] = 120.0
    """Seconds without a word from the endpoint after which a call has failed."""
    retries: Annotated[int, Field(ge=0)] = 5
    """Further attempts after a failed call or an answer that cannot be used."""
    first_wait: Annotated[float, Field(ge=0)] = 1.0
    """Seconds before the first further attempt; they double from one to the next, with up to half taken off by chance.
    What the endpoint says in Retry-After is the least."""
    longest_wait: Annotated[float, Field(ge=0)] = 60.0
    """Most seconds of waiting of our own."""
    max_tokens: Annotated[int, Field(ge=1)] = 1024
    """Most tokens of an answer."""
    json_mode: Literal["schema", "object", "none"] = "schema"
    """What the endpoint is asked to hold the answer to; older ones know no schema, some not even objects."""
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; an endpoint of one's own (`base_url`) needs none."""
    input_price: Annotated[float, Field(ge=0)] | None = None
    """Price of a million tokens asked, in any currency, for the estimate."""
    output_price: Annotated[float, Field(ge=0)] | None = None
    """Price of a million tokens answered."""


class LLMLexicon(Settings):
    """Settings of `llm_lexicon`: keywords and a description per cell, written by a language model or counted."""

    outside_the_key: ClassVar[tuple[str, ...]] = ("base_url", "calls")  # another road to the same answers
    kind: Literal["teacher"] = "teacher"
    teacher: Literal["none", "openai", "transformers"] = "none"
    """`openai`: any OpenAI-compatible endpoint (vLLM, Ollama, …); `transformers`: a chat model on this machine; `none`:
    contrastive class-TF-IDF, which needs neither."""
    model: str = ""
    """The endpoint's name of the model; for `transformers` a folder or hub name."""
    base_url: str | None = None
    """Address of the endpoint, such as http://localhost:8000/v1; none is OpenAI's own."""
    keywords: Annotated[int, Field(ge=1)] = 20
    """Keywords per cell."""
    levels: Annotated[int, Field(ge=1)] | None = None
    """Levels described, from the first; none is all. A last level that tells colliding items apart means nothing."""
    items_per_cell: Annotated[int, Field(ge=1)] = 30
    """Most items shown of a cell."""
    shown: Literal["nearest", "sample"] = "nearest"
    """Which items are shown of larger cells: those nearest to the cell's centre, or a sample."""
    description_length: Annotated[int, Field(ge=0)] = 300
    """Most characters shown of an item's description."""
    conditioned: bool = False
    """Describe the tokens of residual codes from the second level on under their parent prefixes, and merge."""
    temperature: Annotated[float, Field(ge=0)] | None = 0.0
    """Temperature of the answers; none leaves it to the endpoint."""
    seed: int = 0
    """Seed of the sample of items and of a local model's sampling."""
    calls: CallSettings = CallSettings()
    """How the teacher is called."""
