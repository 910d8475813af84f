"""Clients of labelling language models: any OpenAI-compatible endpoint, or a local chat model."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from lexirec.core.errors import SettingsError
from lexirec.semantic_ids.lexicon.key_hosts import key_for
from lexirec.semantic_ids.lexicon.llm_prompts import Message
from lexirec.semantic_ids.lexicon.llm_schema import answer_schema

if TYPE_CHECKING:
    from lexirec.semantic_ids.lexicon.llm_settings import LLMLexicon

_LATER = {408, 409, 425, 429}
_NEVER = {401, 403, 404}


@dataclass(frozen=True)
class Reply:
    """A model's reply.

    Attributes:
        text: The text.
        cut: Whether it was cut off at `max_tokens`.
        input_tokens: Input tokens as counted by the model; 0 where not reported.
        output_tokens: Output tokens.
    """

    text: str
    cut: bool = False
    input_tokens: int = 0
    output_tokens: int = 0


class UnansweredError(Exception):
    """A call without an answer; the message is the reason.

    Attributes:
        again: Whether the same call can succeed later (`later`), never (`never`), or no call at all can (`nobody`).
        wait: Least seconds to wait, as given by the endpoint.
    """

    def __init__(self, reason: str, again: Literal["later", "never", "nobody"], wait: float = 0.0) -> None:
        """Keep the reason and how to proceed."""
        super().__init__(reason)
        self.again = again
        self.wait = wait


class LabelingClient(Protocol):
    """Interface of labelling models: answers conversations; thread-safe."""

    def answer(self, messages: Sequence[Message]) -> Reply:
        """Return the model's next message.

        Raises:
            UnansweredError: there is no reply.
        """


def connect(settings: LLMLexicon) -> LabelingClient:
    """Return the client that the settings choose.

    Raises:
        SettingsError: no model is named, a package or an API key is missing, or there is no such local model.
    """
    if not settings.model:
        raise SettingsError(
            f"the client '{settings.client}' needs the name of a model; set 'model', or use kind = \"contrastive\""
        )
    return OpenAiClient(settings) if settings.client == "openai" else TransformersClient(settings)


# ------------------------------------------------------------------------------------------------------- endpoints


class OpenAiClient:
    """Client of any endpoint with OpenAI's chat completions: OpenAI, vLLM, Ollama, llama.cpp, LM Studio, …"""

    def __init__(self, settings: LLMLexicon) -> None:
        """Create the client; nothing is sent yet."""
        try:
            import openai
        except ImportError:
            raise SettingsError(
                "the client 'openai' needs the package openai: pip install 'lexirec[teacher]', or use "
                'kind = "contrastive"'
            ) from None
        self._openai = openai
        self._settings = settings
        key = key_for(settings.base_url, settings.calls.key_variable)
        self._client = openai.OpenAI(
            api_key=key or "none", base_url=settings.base_url, timeout=settings.calls.timeout, max_retries=0
        )
        if not key:  # the package sends what these variables hold to every host
            self._client.organization = self._client.project = None

    def answer(self, messages: Sequence[Message]) -> Reply:
        """Return the endpoint's next message; see `LabelingClient`."""
        try:
            completion: Any = self._client.chat.completions.create(**self._request(messages))
        except self._openai.APIError as error:
            raise _unanswered(error) from None
        except ValueError as error:  # the body is no JSON
            raise UnansweredError(f"the reply is no JSON ({_brief(error)})", "later") from None
        choices = getattr(completion, "choices", None)
        if not choices:
            raise UnansweredError(f"the reply holds no answer ({_brief(completion)})", "later")
        usage = completion.usage
        return Reply(
            (choices[0].message.content or "").encode(errors="backslashreplace").decode(),  # lone surrogates
            choices[0].finish_reason == "length",
            getattr(usage, "prompt_tokens", 0) or 0,
            getattr(usage, "completion_tokens", 0) or 0,
        )

    def _request(self, messages: Sequence[Message]) -> dict[str, Any]:
        settings = self._settings
        # OpenAI's newer models reject the old name, other endpoints may not know the new one
        longest = "max_completion_tokens" if settings.base_url is None else "max_tokens"
        request: dict[str, Any] = {"model": settings.model, "messages": list(messages)}
        request[longest] = settings.calls.max_tokens
        if settings.temperature is not None:
            request["temperature"] = settings.temperature
        match settings.calls.json_mode:
            case "schema":
                schema = {"name": "cell", "strict": True, "schema": answer_schema()}
                request["response_format"] = {"type": "json_schema", "json_schema": schema}
            case "object":
                request["response_format"] = {"type": "json_object"}
        return request


def _unanswered(error: Any) -> UnansweredError:
    """Classify an error of the client: its reason, and whether to call again."""
    response = getattr(error, "response", None)
    if response is None:
        return UnansweredError(_brief(error), "later")
    status: int = response.status_code
    reason = f"HTTP {status}: {_brief(error)}"
    if status in _NEVER or getattr(error, "code", None) == "insufficient_quota":
        return UnansweredError(reason, "nobody")
    if status in _LATER or status >= 500 or status < 400:
        return UnansweredError(reason, "later", retry_after(response.headers))
    return UnansweredError(reason, "never")


def retry_after(headers: Any) -> float:
    """Return the seconds of `retry-after-ms` or `Retry-After` (seconds or a date); 0 without either."""
    try:
        if "retry-after-ms" in headers:
            wait = float(headers["retry-after-ms"]) / 1000
        else:
            wait = _seconds(headers.get("retry-after", "0"))
    except ValueError:
        return 0.0
    return max(wait, 0.0) if math.isfinite(wait) else 0.0


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return parsedate_to_datetime(text).timestamp() - time.time()


def _brief(error: object) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


# --------------------------------------------------------------------------------------------------- on this machine


class TransformersClient:
    """Client of a causal Hugging Face chat model in this process, on the GPU if there is one; one call at a time."""

    def __init__(self, settings: LLMLexicon) -> None:
        """Load the model.

        Raises:
            SettingsError: there is no such causal model here or on the hub.
        """
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._torch = torch
        self._settings = settings
        self._lock = threading.Lock()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(settings.model)
            self._model: Any = AutoModelForCausalLM.from_pretrained(settings.model, dtype="auto").to(device).eval()
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"there is no causal language model '{settings.model}' in a folder or on the hub ({_brief(error)}); "
                "give its hub name or its folder"
            ) from None

    def answer(self, messages: Sequence[Message]) -> Reply:
        """Return the model's next message; see `LabelingClient`."""
        with self._lock, self._torch.inference_mode(), self._torch.random.fork_rng():
            self._torch.manual_seed(self._settings.seed + len(messages))
            inputs = self._encoded(messages).to(self._model.device)
            length = inputs["input_ids"].shape[1]
            limit = getattr(self._model.config, "max_position_embeddings", None)
            if limit is not None and length >= limit:
                raise UnansweredError(
                    f"the question has {length:,} tokens, the model takes fewer than {limit:,}", "never"
                )
            output = self._model.generate(**inputs, generation_config=self._generation())[0, length:].tolist()
        ends = self._ends()
        cut = not ends & set(output[-1:])
        return Reply(self._tokenizer.decode(output, skip_special_tokens=True), cut, length, len(output))

    def _encoded(self, messages: Sequence[Message]) -> Any:
        if self._tokenizer.chat_template is None:
            text = "\n\n".join(message["content"] for message in messages) + "\n\n"
            return self._tokenizer(text, return_tensors="pt", return_token_type_ids=False)
        return self._tokenizer.apply_chat_template(
            list(messages),
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
            enable_thinking=False,  # used by templates of reasoning models, ignored by others
        )

    def _generation(self) -> Any:
        from transformers import GenerationConfig

        temperature = self._settings.temperature
        sampling = (
            {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": temperature is None}
        )
        ends = sorted(self._ends())
        pad = self._tokenizer.pad_token_id
        return GenerationConfig(
            max_new_tokens=self._settings.calls.max_tokens,
            eos_token_id=ends or None,
            pad_token_id=pad if pad is not None else (ends[0] if ends else 0),
            **sampling,
        )

    def _ends(self) -> set[int]:
        """Return the tokens that end an answer; chat models often have several."""
        ends = self._model.generation_config.eos_token_id
        listed = ends if isinstance(ends, list) else [ends]
        return {token for token in [*listed, self._tokenizer.eos_token_id] if token is not None}
