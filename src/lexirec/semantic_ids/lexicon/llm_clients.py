"""Whom a lexicon can be asked of: any OpenAI-compatible endpoint, or a chat model on this machine."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from lexirec.core.errors import SettingsError
from lexirec.semantic_ids.lexicon.llm_prompts import Message
from lexirec.semantic_ids.lexicon.llm_schema import answer_schema

if TYPE_CHECKING:
    from lexirec.semantic_ids.lexicon.llm_settings import LLMLexicon

_LATER = {408, 409, 425, 429}
_NEVER = {401, 403, 404}


@dataclass(frozen=True)
class Reply:
    """What a teacher said.

    Attributes:
        text: Its words.
        cut: Whether it was cut off at the most tokens of an answer.
        input_tokens: Tokens asked, as the teacher counts; 0 where it does not say.
        output_tokens: Tokens answered.
    """

    text: str
    cut: bool = False
    input_tokens: int = 0
    output_tokens: int = 0


class UnansweredError(Exception):
    """A call that brought no answer; the message is the reason.

    Attributes:
        again: Whether the same call may succeed later (`later`), never (`never`), or no call at all will (`nobody`).
        wait: Seconds to wait at least, where the endpoint said so.
    """

    def __init__(self, reason: str, again: Literal["later", "never", "nobody"], wait: float = 0.0) -> None:
        """Hold the reason and what follows from it."""
        super().__init__(reason)
        self.again = again
        self.wait = wait


class LabelingClient(Protocol):
    """Answers conversations; may be called by several threads at once."""

    def answer(self, messages: Sequence[Message]) -> Reply:
        """Return what the teacher says next.

        Raises:
            UnansweredError: nothing came back.
        """


def connect(settings: LLMLexicon) -> LabelingClient:
    """Return the teacher that the settings name.

    Raises:
        SettingsError: it is not named in full, a package or a key is missing, or there is no such local model.
    """
    if not settings.model:
        raise SettingsError(
            f"the client '{settings.client}' needs the name of a model; set 'model', or choose kind = \"contrastive\""
        )
    return OpenAiTeacher(settings) if settings.client == "openai" else LocalTeacher(settings)


# ------------------------------------------------------------------------------------------------------- endpoints


class OpenAiTeacher:
    """Any endpoint that speaks OpenAI's chat completions: OpenAI, vLLM, Ollama, llama.cpp, LM Studio, …"""

    def __init__(self, settings: LLMLexicon) -> None:
        """Prepare the client; nothing is sent yet."""
        try:
            import openai
        except ImportError:
            raise SettingsError(
                "the client 'openai' needs the package of that name: pip install 'lexirec[teacher]', or choose "
                'kind = "contrastive"'
            ) from None
        self._openai = openai
        self._settings = settings
        key = os.environ.get(settings.calls.key_variable, "")
        if not key and settings.base_url is None:
            raise SettingsError(
                f"OpenAI wants a key, but the environment variable {settings.calls.key_variable} is not set; set it, "
                "or give the 'base_url' of an endpoint of your own"
            )
        self._client = openai.OpenAI(
            api_key=key or "none", base_url=settings.base_url, timeout=settings.calls.timeout, max_retries=0
        )

    def answer(self, messages: Sequence[Message]) -> Reply:
        """Return what the endpoint says next; see `LabelingClient`."""
        try:
            completion: Any = self._client.chat.completions.create(**self._request(messages))
        except self._openai.APIError as error:
            raise _unanswered(error) from None
        except ValueError as error:  # a body that is no JSON
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
        # OpenAI's newer models refuse the old name, other endpoints may not know the new one
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
    """Tell from an error of the client what is wrong and whether to call again."""
    response = getattr(error, "response", None)
    if response is None:
        return UnansweredError(_brief(error), "later")
    status: int = response.status_code
    reason = f"HTTP {status}: {_brief(error)}"
    if status in _NEVER or getattr(error, "code", None) == "insufficient_quota":
        return UnansweredError(reason, "nobody")
    if status in _LATER or status >= 500 or status < 400:
        return UnansweredError(reason, "later", told_to_wait(response.headers))
    return UnansweredError(reason, "never")


def told_to_wait(headers: Any) -> float:
    """Return the seconds that `retry-after-ms` or `Retry-After` (seconds or a date) name, 0 where none does."""
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


class LocalTeacher:
    """A causal Hugging Face chat model, on the GPU where there is one; it answers one question at a time."""

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
                f"there is no causal language model '{settings.model}' here or on the hub ({_brief(error)}); give its "
                "name or the folder it was saved in"
            ) from None

    def answer(self, messages: Sequence[Message]) -> Reply:
        """Return what the model says next; see `LabelingClient`."""
        with self._lock, self._torch.inference_mode(), self._torch.random.fork_rng():
            self._torch.manual_seed(self._settings.seed + len(messages))
            inputs = self._encoded(messages).to(self._model.device)
            asked = inputs["input_ids"].shape[1]
            limit = getattr(self._model.config, "max_position_embeddings", None)
            if limit is not None and asked >= limit:
                raise UnansweredError(
                    f"the question has {asked:,} tokens, the model takes fewer than {limit:,}", "never"
                )
            output = self._model.generate(**inputs, generation_config=self._generation())[0, asked:].tolist()
        ends = self._ends()
        cut = not ends & set(output[-1:])
        return Reply(self._tokenizer.decode(output, skip_special_tokens=True), cut, asked, len(output))

    def _encoded(self, messages: Sequence[Message]) -> Any:
        if self._tokenizer.chat_template is None:
            text = "\n\n".join(message["content"] for message in messages) + "\n\n"
            return self._tokenizer(text, return_tensors="pt", return_token_type_ids=False)
        return self._tokenizer.apply_chat_template(
            list(messages),
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
            enable_thinking=False,  # read by templates of models that can think aloud, ignored by others
        )

    def _generation(self) -> Any:
        from transformers import GenerationConfig

        temperature = self._settings.temperature
        drawn = {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": temperature is None}
        ends = sorted(self._ends())
        pad = self._tokenizer.pad_token_id
        return GenerationConfig(
            max_new_tokens=self._settings.calls.max_tokens,
            eos_token_id=ends or None,
            pad_token_id=pad if pad is not None else (ends[0] if ends else 0),
            **drawn,
        )

    def _ends(self) -> set[int]:
        """Return the tokens that end an answer; chat models often name several."""
        ends = self._model.generation_config.eos_token_id
        listed = ends if isinstance(ends, list) else [ends]
        return {token for token in [*listed, self._tokenizer.eos_token_id] if token is not None}
