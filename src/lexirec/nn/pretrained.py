"""Reading language models from folders and from the hub, with one line for whatever is wrong; all families use it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from torch import nn
from transformers.utils import logging as transformers_logging

from lexirec.core.errors import ArtifactError, SettingsError, did_you_mean

SCRATCH = "scratch:"
"""What the names of models from random weights start with."""

_GIVE = "give a folder written by save_pretrained, a hub name (online) or scratch:small"
_Size = TypeVar("_Size")


def scratch_size(name: str, sizes: Mapping[str, _Size]) -> _Size:
    """Return what `scratch:SIZE` stands for.

    Raises:
        SettingsError: no such size.
    """
    size = name.removeprefix(SCRATCH)
    if size not in sizes:
        known = [SCRATCH + size for size in sizes]
        raise SettingsError(
            f"backbone.name is '{name}'; scratch models are {', '.join(known)}.{did_you_mean(name, known)}"
        )
    return sizes[size]


def fetched(loader: Any, name: str, what: str, **options: Any) -> Any:
    """Call a Hugging Face loader and say what went wrong in one line.

    Args:
        loader: A class with `from_pretrained`.
        name: A folder or a hub name.
        what: What is loaded, for messages.
        options: For `from_pretrained`.

    Raises:
        SettingsError: nothing is there under that name.
        ArtifactError: something is there, but it cannot be read.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir() and (re.match(r"[.~/\\]", name) or name.count("/") > 1):
        raise SettingsError(f"backbone.name is '{name}', but there is no such folder; {_GIVE}")
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise SettingsError(f"backbone.name is '{name}', a folder without config.json; {_GIVE}")
    try:
        return loader.from_pretrained(str(folder) if folder.is_dir() else name, **options)
    except OSError as error:
        raise SettingsError(
            f"backbone '{name}': its {what} is neither in a folder of that name nor to be had from the hub"
            f" ({_first_line(error)}); {_GIVE}"
        ) from error
    except Exception as error:  # every reader below (json, safetensors, tokenizers) has a family of its own
        raise ArtifactError(f"backbone '{name}': its {what} cannot be read: {_first_line(error)}") from error


@contextmanager
def no_bars() -> Iterator[None]:
    """Silence the bars of `transformers` for files that are read or written in a moment."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(".:") if lines else type(error).__name__


# -------------------------------------------------------------------------------------------------------- tied weights


class SharedWeights(nn.Module):
    """A module that saves tied weights under their first name only, for safetensors holds no shared ones."""

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return every tensor once."""
        state = super().state_dict(*args, **kwargs)
        first: dict[int, str] = {}
        for name in list(state):
            address = state[name].data_ptr()
            if state[name].numel() and first.setdefault(address, name) != name:
                del state[name]
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load what `state_dict` returned; weights tied to a loaded one need no entry of their own."""
        result = super().load_state_dict(state_dict, strict=False, assign=assign)
        stored = self.state_dict()
        result.missing_keys[:] = [name for name in result.missing_keys if name in stored]
        if strict and (result.missing_keys or result.unexpected_keys):
            raise RuntimeError(
                f"weights do not fit: missing {result.missing_keys}, unexpected {result.unexpected_keys}"
            )
        return result
