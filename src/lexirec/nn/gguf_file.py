"""Backbones in a GGUF file, the format of llama.cpp: found by name, checked, read through transformers' own reader.

Weights, configuration and tokenizer all come from the one file. Quantised weights are converted to full precision when
they are read, so the model trains like any other; what rounding to four or five bits has cost it stays lost.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from lexirec.core.errors import ArtifactError, SettingsError

SUFFIX = ".gguf"
"""End of the names of GGUF files."""

_MAGIC = b"GGUF"
_POINTER = b"version https://git-lfs"
_OTHER_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


def gguf_file(name: str) -> Path | None:
    """Return the GGUF file that a backbone's name stands for: the file itself, or the only weights of a folder.

    None for folders with other weights, and for names of the hub.

    Raises:
        SettingsError: there is no such file, or the folder holds several.
    """
    path = Path(name).expanduser()
    if path.suffix.lower() == SUFFIX and not path.is_dir():
        if not path.is_file():
            raise SettingsError(
                f"backbone.name is '{name}', but there is no such file; give the path of a GGUF file on this machine"
            )
        return path
    if not path.is_dir() or any(next(path.glob(pattern), None) for pattern in _OTHER_WEIGHTS):
        return None
    files = sorted(file for file in path.iterdir() if file.suffix.lower() == SUFFIX and file.is_file())
    if len(files) > 1:
        names = ", ".join(file.name for file in files[:3]) + (", …" if len(files) > 3 else "")
        raise SettingsError(
            f"backbone '{name}': the folder holds {len(files)} GGUF files ({names}); name one of them (parts of one "
            "model have to be merged first, with llama-gguf-split --merge)"
        )
    return files[0] if files else None


def check_gguf(file: Path, name: str) -> None:
    """Check by its first bytes that a file is a GGUF file, and that the package is there that reads it.

    Raises:
        ArtifactError: it is something else.
        SettingsError: the package gguf is missing.
    """
    try:
        with file.open("rb") as opened:
            first = opened.read(len(_POINTER))
    except OSError as error:
        raise ArtifactError(f"backbone '{name}': {file.name} cannot be read: {error.strerror}") from None
    if first == _POINTER:
        raise ArtifactError(
            f"backbone '{name}': {file.name} is the pointer of a large file, not the file; fetch it with git lfs pull"
        )
    if first[: len(_MAGIC)] != _MAGIC:
        raise ArtifactError(f"backbone '{name}': {file.name} is no GGUF file; give one, or a folder of safetensors")
    if importlib.util.find_spec("gguf") is None:
        raise SettingsError(
            f"backbone '{name}': reading GGUF files needs the package gguf: pip install \"lexirec[gguf]\""
        )


def gguf_error(file: Path, name: str, error: Exception) -> ArtifactError | SettingsError:
    """Return in one line why transformers could not read a GGUF file."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    if "is not supported" in reason or "Cannot build a tokenizer" in reason or "Unknown gguf" in reason:
        return SettingsError(
            f"backbone '{name}': transformers cannot read this GGUF file ({reason}); give the model as a folder of "
            "safetensors"
        )
    return ArtifactError(f"backbone '{name}': {file.name} is damaged or cut off ({reason}); copy it again")


def settle_activation(config: Any, file: Path) -> Any:
    """Let the configuration of a T5 name the activation of its feed-forward layers, in place, and return it.

    A GGUF file does not say it, and transformers takes gated layers with ReLU for granted. T5 v1.1, Flan-T5 and mT5
    have gated layers with GELU, T5 has plain ones with ReLU; which they are shows in the file's tensors.
    """
    if config.model_type != "t5":
        return config
    from gguf import GGUFReader

    gated = any("ffn_gate" in tensor.name for tensor in GGUFReader(file).tensors)
    config.is_gated_act, config.dense_act_fn = gated, "gelu_new" if gated else "relu"
    config.feed_forward_proj = "gated-gelu" if gated else "relu"
    return config


def whole_weights(name: str) -> dict[str, Any]:
    """Return the options of `from_pretrained` that convert a GGUF file's weights to full precision on loading."""
    if gguf_file(name) is None:
        return {}
    try:
        from transformers import GgufConfig
    except ImportError:  # earlier releases always convert
        return {}
    return {"quantization_config": GgufConfig(dequantize=True)}


def forget_quantization(model: Any) -> None:
    """Remove what marks a model as quantised, after its weights were converted to full precision."""
    if getattr(model.config, "quantization_config", None) is not None:
        del model.config.quantization_config
    model.hf_quantizer = None
