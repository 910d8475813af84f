import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    BertConfig,
    BertModel,
    BitImageProcessorPil,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    CLIPVisionModelWithProjection,
    Dinov2Config,
    Dinov2Model,
    SiglipImageProcessorPil,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from lexirec.core.errors import SettingsError
from lexirec.semantic_ids.embeddings.vision_model import VisionModel

SHAPE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
WIDE = {**SHAPE, "intermediate_size": 16}
CLIP = CLIPVisionConfig(**WIDE, projection_dim=12, initializer_range=1.0)
TEXTS = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 50}
CROP = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}}
FAMILIES = {
    "clip": lambda: (
        CLIPModel(CLIPConfig(vision_config=CLIP.to_dict(), text_config=TEXTS, projection_dim=12)),
        CLIPImageProcessorPil(**CROP),
    ),
    "clip-vision": lambda: (CLIPVisionModel(CLIP), CLIPImageProcessorPil(**CROP)),
    "clip-projected": lambda: (CLIPVisionModelWithProjection(CLIP), CLIPImageProcessorPil(**CROP)),
    "siglip": lambda: (
        SiglipVisionModel(SiglipVisionConfig(**WIDE)),
        SiglipImageProcessorPil(size={"height": 32, "width": 32}),
    ),
    "dinov2": lambda: (Dinov2Model(Dinov2Config(**SHAPE, mlp_ratio=1)), BitImageProcessorPil(**CROP)),
}
WIDTHS = {"clip": 12, "clip-vision": 16, "clip-projected": 12, "siglip": 16, "dinov2": 16}
PICTURES = [
    Image.effect_noise((50, 40), 80).convert("RGB"),
    Image.new("RGB", (32, 32), "red"),
    Image.new("RGB", (20, 90), "navy"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    """Folders of tiny models with random weights."""
    torch.manual_seed(0)
    made = {}
    for name, make in FAMILIES.items():
        folder = tmp_path_factory.mktemp(name)
        for part in make():
            part.save_pretrained(folder)
        made[name] = str(folder)
    return made


def vectors(model: VisionModel) -> np.ndarray:
    return model.encode([model.prepare(picture) for picture in PICTURES])


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_of_any_size_get_vectors_as_the_family_pools_them(folders, family):
    model = VisionModel(folders[family])
    made = vectors(model)
    assert made.shape == (3, WIDTHS[family])
    assert made.dtype == np.float32
    assert np.abs(made[0] - made[1]).max() > 1e-3
    alone = np.concatenate([model.encode([model.prepare(picture)]) for picture in PICTURES])
    np.testing.assert_allclose(made, alone, atol=1e-5)


def test_image_features_of_clip_are_those_of_its_vision_part_with_the_projection(folders):
    model = CLIPModel.from_pretrained(folders["clip"])
    ours = VisionModel(folders["clip"])
    pixels = torch.stack([ours.prepare(picture) for picture in PICTURES])
    with torch.no_grad():
        expected = model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)
    np.testing.assert_allclose(vectors(ours), expected.numpy(), atol=1e-5)


def test_the_projection_of_a_vision_part_saved_alone_is_used(folders):
    model = CLIPVisionModelWithProjection.from_pretrained(folders["clip-projected"])
    ours = VisionModel(folders["clip-projected"])
    pixels = torch.stack([ours.prepare(picture) for picture in PICTURES])
    with torch.no_grad():
        np.testing.assert_allclose(vectors(ours), model(pixel_values=pixels).image_embeds.numpy(), atol=1e-5)


def test_class_token_and_mean_of_patches(folders):
    model = Dinov2Model.from_pretrained(folders["dinov2"])
    ours = VisionModel(folders["dinov2"])
    pixels = torch.stack([ours.prepare(picture) for picture in PICTURES])
    with torch.no_grad():
        hidden = model(pixel_values=pixels).last_hidden_state
    assert hidden.shape[1] == 17
    np.testing.assert_allclose(vectors(ours), hidden[:, 0].numpy(), atol=1e-5)  # DINOv2's own pooling
    np.testing.assert_allclose(vectors(VisionModel(folders["dinov2"], "cls")), hidden[:, 0].numpy(), atol=1e-5)
    means = hidden[:, 1:].mean(dim=1).numpy()
    np.testing.assert_allclose(vectors(VisionModel(folders["dinov2"], "mean")), means, atol=1e-5)


def test_siglip_has_no_class_token_but_a_mean_of_all_its_tokens(folders):
    model = SiglipVisionModel.from_pretrained(folders["siglip"])
    ours = VisionModel(folders["siglip"], "mean")
    pixels = torch.stack([ours.prepare(picture) for picture in PICTURES])
    with torch.no_grad():
        means = model(pixel_values=pixels).last_hidden_state.mean(dim=1).numpy()
    np.testing.assert_allclose(vectors(ours), means, atol=1e-5)
    with pytest.raises(SettingsError, match='no class token; use pooling = "model" or "mean"'):
        vectors(VisionModel(folders["siglip"], "cls"))


def test_half_precision_gives_nearly_the_same(folders):
    made, half = vectors(VisionModel(folders["siglip"])), vectors(VisionModel(folders["siglip"], dtype="bfloat16"))
    assert half.dtype == np.float32
    cosine = (made * half).sum(1) / np.linalg.norm(made, axis=1) / np.linalg.norm(half, axis=1)
    assert cosine.min() > 0.99
    assert np.abs(made - half).max() > 0


def test_what_is_no_vision_model_is_refused_in_one_line(tmp_path, folders, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(SettingsError, match=r"no image processor of a model '.*nothing' here or on the hub"):
        VisionModel(str(tmp_path / "nothing"))
    BertModel(BertConfig(**TEXTS)).save_pretrained(tmp_path / "bert")
    with pytest.raises(SettingsError, match="no image processor") as caught:
        VisionModel(str(tmp_path / "bert"))
    assert "\n" not in str(caught.value)
    BitImageProcessorPil(**CROP).save_pretrained(tmp_path / "bert")
    with pytest.raises(
        SettingsError, match=r"reads no pictures \(BertModel\); give the name or folder of a vision model"
    ):
        VisionModel(str(tmp_path / "bert"))


def test_pictures_prepared_in_different_sizes_are_refused(folders):
    model = VisionModel(folders["dinov2"])
    with pytest.raises(SettingsError, match="different sizes"):
        model.encode([torch.zeros(3, 32, 32), torch.zeros(3, 32, 40)])
