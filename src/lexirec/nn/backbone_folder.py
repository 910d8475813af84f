"""What a local folder with a pretrained model holds, judged by its files alone: cheap enough for the start of a run.

Loaders of tokenizers and models make something of almost any folder: without vocabulary files an empty tokenizer,
without some weights random ones, of an adapter the model that it names. These checks come first and say what is missing
in one line. They do nothing for names of the hub.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers import CONFIG_MAPPING

from lexirec.core.errors import ArtifactError, SettingsError
from lexirec.nn.gguf_file import check_gguf, gguf_file

GIVE = "give a folder written by save_pretrained, a GGUF file, a hub name (online) or scratch:small"
"""What a backbone may be, for messages."""

_VOCABULARIES = ("tokenizer.json", "*.model", "vocab.json", "vocab.txt", "*.vocab", "*.tiktoken", "tekken.json")
"""Files of which one holds a tokenizer's pieces; `tokenizer_config.json` alone holds none."""
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_POINTER = b"version https://git-lfs"
"""First bytes of the small file that stands for a large one in a clone without Git LFS."""


def local_folder(name: str) -> Path | None:
    """Return the folder of that name; None where there is none, as for hub names."""
    folder = Path(name).expanduser()
    return folder if folder.is_dir() else None


def local_files(name: str) -> Path | None:
    """Return the folder or the GGUF file of that name; None where there is neither, as for hub names."""
    folder = local_folder(name)
    return folder if folder is not None else gguf_file(name)


def check_config(name: str) -> None:
    """Check that the folder describes a whole, trainable model.

    Raises:
        SettingsError: it holds no `config.json`, only an adapter, quantised weights, or a model with code of its own;
            or it is a GGUF file, and the package that reads such files is missing.
        ArtifactError: `config.json` cannot be read, or a GGUF file is something else.
    """
    folder, gguf = local_folder(name), gguf_file(name)
    if gguf is not None:
        check_gguf(gguf, name)
        return
    if folder is None:
        return
    if (folder / "adapter_config.json").is_file():
        raise SettingsError(
            f"backbone '{name}': the folder holds an adapter (adapter_config.json), not a model; merge it into its "
            "base model with merge_and_unload, and save the result with save_pretrained"
        )
    if not (folder / "config.json").is_file():
        raise SettingsError(f"backbone.name is '{name}', a folder without config.json; {GIVE}")
    config = _read(folder / "config.json", name)
    if "auto_map" in config and config.get("model_type") not in CONFIG_MAPPING:
        raise SettingsError(
            f"backbone '{name}': its type '{config.get('model_type')}' needs code of its own, which is not run; "
            "give a model of a family that transformers knows"
        )
    _check_precision(config.get("quantization_config"), name)


def _check_precision(quantized: Any, name: str) -> None:
    """Refuse quantised weights, unless the configuration lets transformers convert them on loading (`dequantize`)."""
    if not quantized or (isinstance(quantized, dict) and quantized.get("dequantize") is True):
        return
    how = quantized.get("quant_method", "quantization_config") if isinstance(quantized, dict) else quantized
    raise SettingsError(
        f"backbone '{name}': its weights are quantised ({how}), which cannot be trained; give the model in full or "
        "half precision (model.dequantize(), then save_pretrained, makes one), or a GGUF file, which is converted"
    )


def check_tokenizer_files(name: str) -> None:
    """Check that the folder holds a vocabulary.

    Raises:
        SettingsError: it holds none.
        ArtifactError: it holds the pointer of a large file instead of the file.
    """
    folder = local_folder(name)
    if folder is None or gguf_file(name) is not None:
        return
    files = [path for pattern in _VOCABULARIES for path in folder.glob(pattern) if path.is_file()]
    if not files:
        raise SettingsError(
            f"backbone '{name}': the folder holds no tokenizer (tokenizer.json, or the vocabulary files of its family);"
            " copy it there with tokenizer.save_pretrained"
        )
    for file in files:
        _check_no_pointer(file, name)


def check_weight_files(name: str) -> None:
    """Check that the folder holds the weights, all parts of them, and none cut off.

    Raises:
        SettingsError: it holds none.
        ArtifactError: a part is missing or damaged.
    """
    folder = local_folder(name)
    if folder is None or gguf_file(name) is not None:
        return
    for file in _weight_files(folder, name):
        if not file.is_file():
            raise ArtifactError(
                f"backbone '{name}': its weights are incomplete, {file.name} is missing; copy the whole folder again"
            )
        _check_no_pointer(file, name)
        if file.suffix == ".safetensors":
            _check_whole(file, name)


def _weight_files(folder: Path, name: str) -> Iterator[Path]:
    """Yield the files that a loader would read: one, or the parts that an index names."""
    for file in _WEIGHTS:
        if (folder / file).is_file():
            yield folder / file
            return
        index = folder / f"{file}.index.json"
        if index.is_file():
            parts = _read(index, name).get("weight_map")
            if not isinstance(parts, dict):
                raise ArtifactError(f"backbone '{name}': {index.name} names no parts; copy the whole folder again")
            yield from (folder / part for part in sorted(set(parts.values())))
            return
    raise SettingsError(
        f"backbone '{name}': the folder holds no weights (model.safetensors); copy them there with "
        "model.save_pretrained"
    )


def _check_whole(file: Path, name: str) -> None:
    try:
        with safe_open(file, framework="np"):  # reads the header, and compares it with the length of the file
            return
    except (SafetensorError, OSError) as error:
        raise ArtifactError(
            f"backbone '{name}': {file.name} is damaged or cut off ({str(error).splitlines()[0]}); copy it again"
        ) from None


def _check_no_pointer(file: Path, name: str) -> None:
    with file.open("rb") as opened:
        if opened.read(len(_POINTER)) == _POINTER:
            raise ArtifactError(
                f"backbone '{name}': {file.name} is the pointer of a large file, not the file; fetch it with "
                "git lfs pull"
            )


def _read(file: Path, name: str) -> dict[str, Any]:
    _check_no_pointer(file, name)
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(f"backbone '{name}': {file.name} is no readable JSON ({reason}); copy it again") from None
    if not isinstance(values, dict):
        raise ArtifactError(f"backbone '{name}': {file.name} holds no settings; copy it again")
    return values
