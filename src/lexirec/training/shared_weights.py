"""Saving models whose weights are tied: every tensor once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn


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
