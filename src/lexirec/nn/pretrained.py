"""Loading of pretrained models from folders or the hub, with one-line errors; saving of tied weights.

All model families use it.
"""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from torch import nn
from transformers import AutoConfig
from transformers.utils import logging as transformers_logging

from lexirec.core.config import Settings
from lexirec.core.digests import stamp
from lexirec.core.errors import ArtifactError, SettingsError, did_you_mean
from lexirec.nn.backbone_folder import GIVE
from lexirec.nn.gguf_file import gguf_error, gguf_file, settle_activation

SCRATCH = "scratch:"
"""Prefix of the names of models with random weights."""

_Size = TypeVar("_Size")
_log = logging.getLogger(__name__)


def scratch_size(name: str, sizes: Mapping[str, _Size]) -> _Size:
    """Return the entry of `sizes` that `scratch:SIZE` names.

    Raises:
        SettingsError: there is no such size.
    """
    size = name.removeprefix(SCRATCH)
    if size not in sizes:
        allowed = [SCRATCH + size for size in sizes]
        raise SettingsError(
            f"backbone.name is '{name}'; scratch models are {', '.join(allowed)}.{did_you_mean(name, allowed)}"
        )
    return sizes[size]


def warn_of_sizes(settings: Settings, names: Set[str]) -> None:
    """Warn of size settings that are set although a pretrained backbone has its own sizes."""
    ignored = settings.model_dump(include=set(names), exclude_none=True)
    if ignored:
        _log.warning(
            "backbone '%s' is pretrained, so its sizes are fixed; these settings have no effect: %s",
            getattr(settings, "name", ""),
            ", ".join(ignored),
        )


def fetched(loader: Any, name: str, what: str, **options: Any) -> Any:
    """Call a Hugging Face loader and turn its errors into one line.

    Args:
        loader: A class with `from_pretrained`.
        name: A folder or a hub name.
        what: Noun for the loaded part, for messages.
        options: For `from_pretrained`.

    Raises:
        SettingsError: there is nothing under that name.
        ArtifactError: the files exist but cannot be read.
    """
    folder, gguf = Path(name).expanduser(), gguf_file(name)
    if gguf is not None:
        try:
            with no_bars():
                return loader.from_pretrained(str(gguf.parent), gguf_file=gguf.name, **options)
        except Exception as error:  # the reader checks little, so damages surface as errors of any type
            raise gguf_error(gguf, name, error) from error
    if not folder.is_dir() and (re.match(r"[.~/\\]", name) or name.count("/") > 1):
        raise SettingsError(f"backbone.name is '{name}', but there is no such folder; {GIVE}")
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise SettingsError(f"backbone.name is '{name}', a folder without config.json; {GIVE}")
    try:
        return loader.from_pretrained(str(folder) if folder.is_dir() else name, **options)
    except OSError as error:
        if folder.is_dir():
            raise ArtifactError(f"backbone '{name}': its {what} cannot be read: {_first_line(error)}") from error
        raise SettingsError(
            f"backbone '{name}': its {what} is neither in a folder of that name nor available from the hub"
            f" ({_first_line(error)}); {GIVE}"
        ) from error
    except Exception as error:  # json, safetensors and tokenizers each raise errors of their own types
        raise ArtifactError(f"backbone '{name}': its {what} cannot be read: {_first_line(error)}") from error


def configuration(name: str) -> Any:
    """Return the configuration of a pretrained model, which the caller may change.

    Raises:
        SettingsError: there is nothing under that name.
        ArtifactError: it cannot be read.
    """
    gguf = gguf_file(name)
    with no_reports():
        if gguf is None:
            return fetched(AutoConfig, name, "configuration", trust_remote_code=False)
        return copy.deepcopy(_of_gguf(name, gguf, stamp(gguf)))


@lru_cache(maxsize=4)
def _of_gguf(name: str, file: Path, look: str) -> Any:
    """Return the configuration in a GGUF file, which takes seconds to read, once for all of its uses."""
    return settle_activation(fetched(AutoConfig, name, "configuration", trust_remote_code=False), file)


@contextmanager
def no_bars() -> Iterator[None]:
    """Hide the progress bars of `transformers`, for local files."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


@contextmanager
def no_reports() -> Iterator[None]:
    """Hide what `transformers` logs about loaded weights, where the caller looks at them itself."""
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines()]
    if lines and lines[0].endswith(":"):  # the reasons follow
        lines[0] = " ".join(filter(None, lines))[:200]
    return lines[0].rstrip(".:") if lines else type(error).__name__


def count_parameters(model: nn.Module) -> int:
    """Count the model's parameters, tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


# -------------------------------------------------------------------------------------------------------- tied weights


class SharedWeights(nn.Module):
    """Base class of modules with tied weights: saves each under its first name only, since safetensors needs it."""

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the state with every tensor once."""
        state = super().state_dict(*args, **kwargs)
        first: dict[int, str] = {}
        for name in list(state):
            address = state[name].data_ptr()
            if state[name].numel() and first.setdefault(address, name) != name:
                del state[name]
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load a state from `state_dict`; weights tied to a loaded one need no entry."""
        result = super().load_state_dict(state_dict, strict=False, assign=assign)
        stored = self.state_dict()
        result.missing_keys[:] = [name for name in result.missing_keys if name in stored]
        if strict and (result.missing_keys or result.unexpected_keys):
            raise RuntimeError(
                f"weights do not fit the model: missing {result.missing_keys}, unexpected {result.unexpected_keys}"
            )
        return result
