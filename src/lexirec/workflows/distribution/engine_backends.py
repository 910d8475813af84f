"""Engines that `parity` asks: transformers, and vLLM.

A backend takes prompts and answers as token ids, and returns the log-probability of every token of an answer, over the
whole vocabulary, as float arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from lexirec.core.errors import ArtifactError, SettingsError

Ids = Sequence[Sequence[int]]


class Engine(Protocol):
    """An engine that has loaded a folder."""

    def __call__(self, prompts: Ids, answers: Ids) -> list[NDArray[np.float64]]:
        """Return the log-probabilities of the answers' tokens after their prompts."""
        ...


class TransformersEngine:
    """The plain model of transformers, on the CPU."""

    def __init__(self, folder: Path, dtype: str) -> None:
        """Load an exported folder."""
        from transformers import AutoModelForCausalLM

        from lexirec.nn.pretrained import no_bars

        with no_bars():
            loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype_named(dtype), local_files_only=True)
        self._model: Any = loaded.eval()

    @torch.no_grad()
    def __call__(self, prompts: Ids, answers: Ids) -> list[NDArray[np.float64]]:
        """Return the log-probabilities of the answers' tokens after their prompts."""
        found = []
        for prompt, answer in zip(prompts, answers, strict=True):
            logits = self._model(torch.tensor([[*prompt, *answer]]), use_cache=False).logits[0]
            logp = logits[len(prompt) - 1 : -1].float().log_softmax(-1)
            found.append(logp.gather(1, torch.tensor(answer).unsqueeze(1)).squeeze(1).double().numpy())
        return found


class VllmEngine:
    """vLLM, asked for the log-probabilities of prompts that end with the answers.

    Written from vLLM's documentation and never run here: vLLM is not among lexirec's dependencies.
    """

    def __init__(self, folder: Path, dtype: str) -> None:
        """Load an exported folder; token ids go in and out, so no tokenizer is needed."""
        try:
            from vllm import LLM, SamplingParams
        except ImportError:
            raise SettingsError("--backend vllm needs vLLM: pip install vllm, on a machine with a GPU") from None
        dtype_named(dtype)
        self._params = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False)
        self._llm: Any = LLM(model=str(folder), dtype=dtype, skip_tokenizer_init=True)

    def __call__(self, prompts: Ids, answers: Ids) -> list[NDArray[np.float64]]:
        """Return the log-probabilities of the answers' tokens after their prompts."""
        asked = [{"prompt_token_ids": [*prompt, *answer]} for prompt, answer in zip(prompts, answers, strict=True)]
        found = []
        for output, answer in zip(self._llm.generate(asked, self._params), answers, strict=True):
            behind = output.prompt_logprobs[-len(answer) :]
            if any(token not in logs for token, logs in zip(answer, behind)):
                raise ArtifactError("vLLM returned no log-probability of a prompt's token; its version may be too old")
            found.append(np.array([logs[token].logprob for token, logs in zip(answer, behind)], dtype=np.float64))
        return found


def dtype_named(name: str) -> torch.dtype:
    """Return a type of weights by its name.

    Raises:
        SettingsError: there is no such type.
    """
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name not in known:
        raise SettingsError(f"--dtype {name}: there are {', '.join(known)}")
    return known[name]


BACKENDS: dict[str, Callable[[Path, str], Engine]] = {"transformers": TransformersEngine, "vllm": VllmEngine}
"""Engines by name."""
