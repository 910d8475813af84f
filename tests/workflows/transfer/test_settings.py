import pytest

from lexirec.core.errors import SettingsError
from lexirec.core.store import Store
from lexirec.workflows.transfer.run import transfer
from lexirec.workflows.transfer.settings import load_transfer, what_each_saw
from tests.worlds.small_transfer import wanted


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"source": {"codes": {"kind": "published", "path": "x"}}},
            "codes.kind is 'published', .* a transfer needs residual-kmeans",
        ),
        ({"source": {"model": None}}, 'a transfer needs a \\[model\\] of kind "causal"'),
        ({"source": {"identifiers": {"kind": "text"}}}, 'needs \\[identifiers\\] of kind "codes"'),
        ({"source": {"vectors": {"text": {"kind": "precomputed", "path": "x"}}}}, "gifts: .* are precomputed"),
        ({"source": {"vectors": {"text": {"kind": "collaborative"}}}}, "cannot embed other items; use text vectors"),
        ({"source": {"vectors": {"text": {"kind": "images"}}}}, "of kind 'images', .* use kind 'precomputed'"),
        ({"source": {"neighbors": {"kind": "published", "path": "x"}}, "fine_tune": True}, "gifts: .* are published"),
    ],
)
def test_what_cannot_be_carried_is_said_at_once(tmp_path, changes, message):
    with pytest.raises(SettingsError, match=message):
        transfer(wanted(**changes), Store(tmp_path))
    assert not any(tmp_path.iterdir())


def test_overrides_go_where_their_names_say(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.toml").write_text('[data]\nkind = "toy-shop"\n')
    sets = ["source.data.products=100", "target.data.shoppers=9", "seed=4", "training.epochs=2", "neighbors=none"]
    found = load_transfer(tmp_path / "one.toml", tmp_path / "two.toml", sets)
    assert found.name == "one-to-two"
    assert (found.source.data.products, found.target.data.shoppers) == (100, 9)
    assert (found.source.seed, found.target.seed, found.seed) == (4, 4, 4)
    assert (found.settings.training.epochs, found.settings.neighbors) == (2, "none")
    with pytest.raises(SettingsError, match=r"neighbours.*Did you mean 'neighbors'"):
        load_transfer(tmp_path / "one.toml", tmp_path / "two.toml", ["neighbours=none"])


def test_what_each_saw_follows_the_settings():
    text, training = (what_each_saw(wanted(neighbors=near))["zero-shot"].target for near in ("text", "training"))
    assert "interactions" not in text
    assert "interactions as neighbours" in training
    letter = {"kind": "rq-vae", "letter": {"collaborative": 0.1}}
    saw = what_each_saw(wanted(source={"codes": letter}, fine_tune=True))
    assert "in the codes, training interactions" in saw["untrained"].source
    assert set(saw) == {"untrained", "zero-shot", "alone", "fine-tuned"}


def test_only_floors_stand_beside_unless_all_are_asked_for():
    assert set(wanted().baselines) == {"popularity", "transitions"}
    assert set(wanted(beside="all").baselines) == {"popularity", "transitions", "ease"}
