"""Vectors of pictures by a vision model of transformers: CLIP, SigLIP, DINOv2, ViT and their kin.

Letters of the shapes: B pictures of a batch, L tokens of a picture, D features.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import SettingsError

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

Pooling = Literal["model", "cls", "mean"]
Precision = Literal["float32", "bfloat16", "float16"]
_log = logging.getLogger(__name__)


class VisionModel:
    """A vision model with its preparation of pictures, on the GPU where there is one."""

    def __init__(self, name: str, pooling: Pooling = "model", dtype: Precision = "float32") -> None:
        """Load a model by its name on the hub or its folder.

        Raises:
            SettingsError: there is no such model, or it is no vision model.
        """
        import torch

        self._name, self._pooling = name, pooling
        self._processor = _load_processor(name)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._dtype = getattr(torch, dtype)
        self._model = _load_model(name, self._dtype).to(self._device).eval()
        if not hasattr(self._model, "get_image_features") and self._model.main_input_name != "pixel_values":
            raise SettingsError(f"the model '{name}' reads no pictures ({type(self._model).__name__}); {_ALLOWED}")

    def prepare(self, picture: Image) -> torch.Tensor:
        """Return an RGB picture as the model reads it: resized, cut and scaled by its own settings, (3, H, W)."""
        pixels: torch.Tensor = self._processor(images=picture, return_tensors="pt")["pixel_values"][0]
        return pixels

    def encode(self, prepared: Sequence[torch.Tensor]) -> NDArray[np.float32]:
        """Return the vectors of prepared pictures, not normalised: float32 (B, D).

        Raises:
            SettingsError: the pictures differ in size after preparation, or the model cannot be pooled in this way.
        """
        import torch

        if len({tuple(each.shape) for each in prepared}) > 1:
            raise SettingsError(
                f"the image processor of '{self._name}' prepares pictures of different sizes; choose a model that "
                "reads one size"
            )
        with torch.inference_mode():
            pooled_BD = self._pooled(torch.stack(list(prepared)).to(self._device, self._dtype))
        return np.asarray(pooled_BD.float().cpu().numpy(), dtype=np.float32)

    def _pooled(self, pixels: torch.Tensor) -> torch.Tensor:
        if self._pooling != "model":
            tower: Any = getattr(self._model, "vision_model", self._model)
            return self._of_tokens(tower(pixel_values=pixels).last_hidden_state, pixels)
        if hasattr(self._model, "get_image_features"):  # CLIP and SigLIP: the features that are compared with texts
            features: Any = self._model.get_image_features(pixel_values=pixels)
            tensor: torch.Tensor = getattr(features, "pooler_output", features)  # older versions return the tensor
            return tensor
        made: Any = self._model(pixel_values=pixels)
        for name in ("image_embeds", "pooler_output"):
            if made.get(name) is not None:
                pooled: torch.Tensor = made[name].flatten(1)
                return pooled
        return self._of_tokens(made.last_hidden_state, pixels, "cls" if _patches(self._model, pixels) else "mean")

    def _of_tokens(self, hidden: torch.Tensor, pixels: torch.Tensor, pooling: str | None = None) -> torch.Tensor:
        """Pool states (B, L, D) of tokens, of which those before the patches stand for the whole picture."""
        pooling = pooling or self._pooling
        if hidden.dim() == 4:  # a convolutional network: (B, D, height, width)
            hidden, first = hidden.flatten(2).transpose(1, 2), 0
        else:
            first = hidden.shape[1] - _patches(self._model, pixels)
        if pooling == "cls":
            if not 0 < first < hidden.shape[1]:
                raise SettingsError(f'the model \'{self._name}\' has no class token; use pooling = "model" or "mean"')
            return hidden[:, 0]
        return hidden[:, first if 0 < first < hidden.shape[1] else 0 :].mean(dim=1)


_ALLOWED = (
    'give the name or folder of a vision model, such as CLIP, SigLIP or DINOv2, "color-histogram" or "edge-histogram"'
)


def _patches(model: Any, pixels: torch.Tensor) -> int:
    """Return the number of patches of prepared pictures; 0 for models without patches."""
    config = getattr(model.config, "vision_config", model.config)
    size = getattr(config, "patch_size", None)
    if not isinstance(size, int):
        return 0
    return (pixels.shape[-2] // size) * (pixels.shape[-1] // size)


def _load_processor(name: str) -> Any:
    from transformers import AutoImageProcessor

    try:
        return AutoImageProcessor.from_pretrained(name, backend="pil")  # of Pillow and numpy: no torchvision is needed
    except ImportError as error:
        raise SettingsError(f"the image processor of '{name}' needs another package ({_line(error)})") from None
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"there is no image processor of a model '{name}' here or on the hub ({_line(error)}); {_ALLOWED}"
        ) from None


def _load_model(name: str, dtype: Any) -> Any:
    import transformers
    from transformers import AutoConfig, AutoModel

    try:
        written = (AutoConfig.from_pretrained(name).architectures or [""])[0]
        # a vision part saved alone with its projection: AutoModel would leave the projection out
        cls = getattr(transformers, written) if written.endswith("VisionModelWithProjection") else AutoModel
        return cls.from_pretrained(name, dtype=dtype)
    except (OSError, ValueError, AttributeError) as error:
        raise SettingsError(f"the model '{name}' cannot be loaded ({_line(error)}); {_ALLOWED}") from None


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
