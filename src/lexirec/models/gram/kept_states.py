"""States of item prompts under a frozen encoder: computed once per training, in a file that is memory-mapped.

A frozen encoder gives an item the same states in every step, so a step only projects them. The file holds the states
of all prompts one behind the other, without padding: tokens · width · 4 bytes in float32 (2 in bfloat16), 0.1 GB for
2,420 items with prompts of 26 tokens and an encoder of width 384. The system keeps in memory what is used.

    states.bin    the states; a run that was killed goes on behind the last whole prompt
    states.json   digest of prompts and weights that they are made from

Legend: `U` items, `L` tokens of a prompt, `N` tokens of all prompts, `W` features of the encoder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lexirec.core.files import read_json, saying_disk_is_full, write_json
from lexirec.core.progress import Progress
from lexirec.nn.ragged import Ragged
from lexirec.nn.text_encoder import TextEncoder

if TYPE_CHECKING:
    from lexirec.models.gram.network import GramNetwork

_FOLDER, _STATES, _MADE_FROM = "item-states", "states.bin", "states.json"
_BLOCK = 256
"""Items that are encoded at once."""


class KeptStates:
    """States of all items' prompts."""

    def __init__(self, values_NW: Tensor, prompts: Ragged, device: torch.device) -> None:
        """Hold states of all prompts; those that `take` returns are moved to the device."""
        self._values_NW, self._device = values_NW, device
        numbers = torch.arange(len(prompts.values), dtype=torch.int32)
        self._places = Ragged(numbers, prompts.offsets.cpu())

    def take(self, items_U: Tensor) -> tuple[Tensor, Tensor]:
        """Return states (U, L, W), of any value in the padding, and mask (U, L) of some items."""
        places_UL, mask_UL = self._places.pad(items_U.cpu())
        return self._values_NW[places_UL].to(self._device), mask_UL.to(self._device)


@contextmanager
def keeping_states(model: GramNetwork, folder: Path, *, in_half: bool) -> Iterator[None]:
    """Let a model with a frozen encoder read its items' states from a file inside the block; others are as they are.

    Args:
        model: whose item prompts are encoded.
        folder: of the training run; the file is in a folder below, and is reused when the run resumes.
        in_half: store bfloat16 instead of float32, for trainings that multiply in bfloat16.

    Raises:
        ArtifactError: the disk is full.
    """
    encoder = model.text_encoder
    if encoder is None or not encoder.frozen or not model.settings.item_prompts:
        yield
        return
    dtype = torch.bfloat16 if in_half else torch.float32
    model.kept_states = keep_states(encoder, model.item_prompts.to("cpu"), folder / _FOLDER, dtype)
    try:
        yield
    finally:
        model.kept_states = None


@torch.no_grad()
def keep_states(encoder: TextEncoder, prompts: Ragged, folder: Path, dtype: torch.dtype) -> KeptStates:
    """Encode all prompts into a folder, or read what it has of them.

    Args:
        encoder: a frozen one.
        prompts: one row of token ids per item.
        folder: of the files.
        dtype: of the stored states, float32 or bfloat16.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, weight = folder / _STATES, encoder.projection.weight
    made_from = {"from": _digest(encoder, prompts), "dtype": str(dtype)}
    if read_json(folder / _MADE_FROM) != made_from:
        path.unlink(missing_ok=True)
        write_json(folder / _MADE_FROM, made_from)
    width = weight.shape[1]
    size = width * dtype.itemsize
    offsets = prompts.offsets.numpy()
    stored = path.stat().st_size // size if path.is_file() else 0
    done = int(np.searchsorted(offsets, stored, side="right")) - 1
    if done < len(prompts):
        with saying_disk_is_full(path), path.open("ab") as file, Progress("Encoding items", len(prompts)) as progress:
            file.truncate(int(offsets[done]) * size)  # the rest of a prompt that was cut off
            progress.advance(done)
            for first in range(done, len(prompts), _BLOCK):
                items = torch.arange(first, min(first + _BLOCK, len(prompts)))
                ids, mask = (each.to(weight.device) for each in prompts.pad(items))
                block = encoder.eval().states(ids, mask)[mask].to(dtype).cpu().contiguous()
                file.write(block.view(torch.uint8).numpy().data)
                progress.advance(len(items))
    mapped = np.memmap(path, dtype=np.uint8, mode="c") if offsets[-1] else np.zeros(0, np.uint8)
    return KeptStates(torch.from_numpy(mapped).view(dtype).view(-1, width), prompts, weight.device)


def _digest(encoder: TextEncoder, prompts: Ragged) -> str:
    """Return what prompts and the encoder's weights have been digested to."""
    digest = hashlib.blake2b(digest_size=16)
    values = [prompts.values, prompts.offsets, *encoder.model.state_dict().values()]
    for value in values:
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
