import numpy as np
import pytest

from lexirec.core.errors import ArtifactError, DataError
from lexirec.semantic_ids.quantizers.codebook import FILE, Codebook, Mlp, Space
from lexirec.semantic_ids.quantizers.collisions import CollisionSettings

RNG = np.random.default_rng(0)


def array(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def grid():
    """Level 0 tells tens, level 1 units: 12.1 has the codes 1 and 2."""
    tens, units = np.arange(10) * 10, np.arange(10)
    points = [np.stack([level, np.zeros(10)], axis=1).astype(np.float32) for level in (tens, units)]
    return Codebook(Space.plain(2), tuple(points))


def numbers(*values):
    return np.array([[value, 0] for value in values], dtype=np.float32)


def test_codes_are_read_off_level_by_level():
    codebook = grid()
    assert codebook.assign(numbers(2.1, 31.9, 63.2, 44)).tolist() == [[0, 2], [3, 2], [6, 3], [4, 4]]
    assert codebook.reconstruct(codebook.assign(numbers(12.4, 30))).tolist() == [[12, 0], [30, 0]]
    assert codebook.levels == 2


def test_a_second_catalogue_gets_codes_of_its_own():
    codebook = grid().apply(numbers(12.1, 12.2, 35, 90))
    assert codebook.codes.values.tolist() == [[1, 2, 0], [1, 2, 1], [3, 5, 0], [9, 0, 0]]
    moved = grid().apply(numbers(12.1, 12.2, 35, 90), CollisionSettings(rule="nearest-free"))
    assert moved.codes.values.tolist() == [[1, 2], [1, 3], [3, 5], [9, 0]]
    assert moved.report.collisions.before.items == 2
    assert moved.report.rows()[0]["used"] == 3


def test_the_report_measures_what_is_left():
    exact = grid().apply(numbers(12, 35, 90)).report
    assert exact.reconstruction_error == pytest.approx(0)
    assert exact.levels[0].residual == pytest.approx((4 + 25) / ((numbers(12, 35, 90)[:, 0]).var() * 3), rel=1e-4)
    assert exact.levels[1].residual == pytest.approx(0)
    chosen = grid().apply(numbers(12, 35, 90), values=np.array([[1, 2], [3, 4], [9, 0]])).report
    assert chosen.levels[1].residual > 0


def test_codes_of_others_must_be_the_codebooks():
    with pytest.raises(DataError, match=r"the codebook has \[10, 10\] codes at its 2 levels, and there are 1 vectors"):
        grid().apply(numbers(12), values=np.array([[1, 10]]))


def learned():
    encoder = Mlp(((array(5, 4), array(5)), (array(3, 5), array(3))))
    decoder = Mlp(((array(4, 3), array(4)),))
    return Codebook(Space(array(4), 0.5, encoder, decoder), (array(6, 3), array(6, 3)))


def test_a_saved_codebook_assigns_the_same_codes(tmp_path):
    for codebook in (
        grid(),
        learned(),
        Codebook(Space(array(4), 2.0, Mlp(((array(4, 4), array(4)),), True)), (array(3, 4),)),
    ):
        vectors = array(40, len(codebook.space.shift))
        codebook.apply(vectors).save(tmp_path)
        loaded = Codebook.load(tmp_path)
        values = codebook.assign(vectors)
        assert len(np.unique(values, axis=0)) > 2
        assert (loaded.assign(vectors) == values).all()
        assert (loaded.reconstruct(values) == codebook.reconstruct(values)).all()
        with pytest.raises(ArtifactError, match="apply it to vectors"):
            _ = loaded.codes


def test_layers_are_those_of_a_perceptron():
    codebook, vectors = learned(), array(3, 4)
    (first, first_bias), (second, second_bias) = codebook.space.encoder.layers
    hidden = np.maximum((vectors - codebook.space.shift) * 0.5 @ first.T + first_bias, 0)
    assert np.allclose(codebook.space.encode(vectors), hidden @ second.T + second_bias, atol=1e-5)


def test_unusable_files_and_vectors_are_refused(tmp_path):
    with pytest.raises(ArtifactError, match="is missing"):
        Codebook.load(tmp_path)
    (tmp_path / FILE).write_bytes(b"12345678nonsense")
    with pytest.raises(ArtifactError, match="damaged"):
        Codebook.load(tmp_path)
    with pytest.raises(DataError, match="3 dimensions, the codebook 2"):
        grid().assign(np.ones((2, 3)))
