"""Encodings of all items in files that are memory-mapped: computed once per catalogue, not with every start.

    states-0.npy   float32 (N, L, D), encodings of N items, padded on the right
    mask-0.npy     bool (N, L), which of them are real
    places.npy     int32 (items, 2), for each item the number of its files and its row in them

A changed catalogue links the files of the one before and adds files of its own for items that are new or read another
text, so many versions cost the encodings once. Searches read the rows of the items that they need; the system keeps in
memory what is used, and drops it when memory is short.

Legend: `I` items, `U` some items, `N` rows of a file, `L` tokens, `D` features.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexirec.core.errors import ArtifactError
from lexirec.models.gram.network import GramNetwork
from lexirec.models.gram.step_decoder import ItemStates, encode_catalog
from lexirec.nn.cpu_kernels import PackedLinears

STATES, MASK, PLACES = "states-{}.npy", "mask-{}.npy", "places.npy"
MOST_FILES = 8
"""Files of encodings of one catalogue; with more, all are written anew into one."""


class StoredStates:
    """Encodings in files; `take` gives those of some items, as `ItemStates.take` does."""

    def __init__(self, folder: Path, device: torch.device | str = "cpu") -> None:
        """Map the files of a folder.

        Args:
            folder: that `write_states` or `extend_states` wrote.
            device: that the rows are moved to.

        Raises:
            ArtifactError: a file is missing or damaged.
        """
        try:
            self.places = np.load(folder / PLACES, allow_pickle=False)
            numbers = range(int(self.places[:, 0].max(initial=-1)) + 1)
            states = [np.load(folder / STATES.format(each), mmap_mode="c", allow_pickle=False) for each in numbers]
            masks = [np.load(folder / MASK.format(each), allow_pickle=False) for each in numbers]
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{folder}: the items' encodings are damaged ({error}); remove the folder") from None
        self._states = [torch.from_numpy(each) for each in states]
        self._masks = [torch.from_numpy(each) for each in masks]
        self._files, self._rows = (torch.from_numpy(column.astype(np.int64)) for column in self.places.T)
        self._device = device

    def __len__(self) -> int:
        """Number of items."""
        return len(self.places)

    @property
    def files(self) -> int:
        """Number of files with states."""
        return len(self._states)

    def take(self, items_U: Tensor) -> tuple[Tensor, Tensor]:
        """Return states (U, L, D) and mask (U, L) of some items, cut to the longest of them."""
        items_U = items_U.cpu()
        files_U, rows_U = self._files[items_U], self._rows[items_U]
        if self.files == 1:
            mask_UL = self._masks[0][rows_U]
            longest = int(mask_UL.sum(1).max())
            return self._states[0][rows_U, :longest].to(self._device), mask_UL[:, :longest].to(self._device)
        parts = [(file, torch.nonzero(files_U == file).flatten()) for file in sorted(set(files_U.tolist()))]
        masks = [self._masks[file][rows_U[chosen]] for file, chosen in parts]
        longest = max(int(mask.sum(1).max()) for mask in masks)
        states_ULD = self._states[0].new_zeros(len(items_U), longest, self._states[0].shape[-1])
        mask_UL = torch.zeros(len(items_U), longest, dtype=torch.bool)
        for (file, chosen), mask in zip(parts, masks, strict=True):
            width = min(longest, mask.shape[1])
            states_ULD[chosen, :width] = self._states[file][rows_U[chosen], :width]
            mask_UL[chosen, :width] = mask[:, :width]
        return states_ULD.to(self._device), mask_UL.to(self._device)


@torch.no_grad()
def encoded(model: GramNetwork, items: Tensor | None = None) -> ItemStates:
    """Encode all items, or some, as a searcher does; the model is put into evaluation mode."""
    with PackedLinears(*model.encoders).in_use():
        return encode_catalog(model.eval(), items=items)


def write_states(states: ItemStates, folder: Path) -> None:
    """Write the encodings of a whole catalogue into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, 0, states)
    items = len(states.mask_IL)
    places = np.stack([np.zeros(items, np.int32), np.arange(items, dtype=np.int32)], axis=1)
    np.save(folder / PLACES, places, allow_pickle=False)


def extend_states(before: Path, sources_I: NDArray[np.int64], model: GramNetwork, folder: Path) -> None:
    """Write the encodings of a changed catalogue: those of items with a source are the ones of the catalogue before.

    Args:
        before: Folder of the catalogue before.
        sources_I: For each item its number in the catalogue before; −1 where it is encoded anew.
        model: Of the changed catalogue, with the weights of the one before.
        folder: To write into, on the same file system where files are to be shared.
    """
    folder.mkdir(parents=True, exist_ok=True)
    old = StoredStates(before)
    fresh = np.flatnonzero(sources_I < 0)
    if old.files >= MOST_FILES:
        write_states(encoded(model), folder)
        return
    places = np.zeros((len(sources_I), 2), dtype=np.int32)
    places[sources_I >= 0] = old.places[sources_I[sources_I >= 0]]
    for number in range(old.files):
        for name in (STATES.format(number), MASK.format(number)):
            _link(before / name, folder / name)
    if len(fresh):
        _write(folder, old.files, encoded(model, torch.from_numpy(fresh)))
        places[fresh, 0], places[fresh, 1] = old.files, np.arange(len(fresh))
    np.save(folder / PLACES, places, allow_pickle=False)


def _write(folder: Path, number: int, states: ItemStates) -> None:
    np.save(folder / STATES.format(number), states.states_ILD.float().cpu().numpy(), allow_pickle=False)
    np.save(folder / MASK.format(number), states.mask_IL.cpu().numpy(), allow_pickle=False)


def _link(old: Path, new: Path) -> None:
    try:
        os.link(old, new)
    except OSError:  # the file system has no links
        shutil.copy2(old, new)
