import numpy as np
import pytest

from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.embeddings.item_embeddings import normalized
from lexirec.semantic_ids.identifiers.schemes import codes_as_tokens
from lexirec.semantic_ids.quantizers.codebook import Codebook
from lexirec.semantic_ids.quantizers.collisions import CollisionSettings
from lexirec.semantic_ids.quantizers.residual_kmeans import ResidualKMeans
from lexirec.workflows.transfer import stages
from lexirec.workflows.transfer.stages import apply_codebook, saw_card
from tests.worlds.small_transfer import small_transfer

pytestmark = pytest.mark.long

RNG = np.random.default_rng(0)
FIRST = normalized(RNG.normal(size=(30, 4)))


@pytest.mark.parametrize("copies", [1, 3])
def test_a_level_that_the_first_catalog_lacks_is_not_added_to_all_items(tmp_path, monkeypatch, copies):
    monkeypatch.setattr(stages, "draw_quantizer", lambda *_: None)
    book, vectors, out = (tmp_path / name for name in ("book", "vectors", "out"))
    for folder in (book, vectors, out):
        folder.mkdir()
    rule = CollisionSettings(rule="none" if copies == 1 else "level")
    fitted = ResidualKMeans(levels=2, branching=8, collisions=rule).fit(np.repeat(FIRST, copies, axis=0))
    fitted.save(book)
    fitted.codes.save(book)
    others = normalized(np.concatenate([FIRST[:5], FIRST[:2]]) + 0.01)
    np.save(vectors / "vectors.npy", others)
    inputs = {"codebook": book, "vectors.text": vectors}
    apply_codebook(CollisionSettings(rule="level"), inputs, out)
    codes = Codes.load(out)
    assert (codes.values[:, :2] == Codebook.load(book).assign(others)).all()
    assert codes.levels == (2 if copies == 1 else 3)
    lengths = codes_as_tokens(codes).lengths
    assert (lengths[[0, 1, 5, 6]] == 3).all(), "these share their codes"
    assert lengths.min() == (2 if copies == 1 else 3)
    assert ("left out" in (out / "summary.md").read_text()) == (copies == 1)


def test_a_card_tells_the_tokens_and_who_saw_what():
    saw = {"zero-shot": {"source": "texts", "target": "nothing"}}
    card = saw_card(saw, {"zero-shot": small_transfer()[1].stage("evaluation.zero-shot").folder})
    assert card["zero-shot_saw"] == "source: texts; target: nothing"
    assert card["tokens_used"] > card["tokens_new_to_the_source"] >= 0
