import numpy as np
import pytest
from PIL import Image, ImageDraw

from lexirec.semantic_ids.embeddings.histograms import HISTOGRAMS, ColorHistogram, EdgeHistogram


def square(size=(64, 64), at=(20, 20), colour="navy", ground="white") -> Image.Image:
    picture = Image.new("RGB", size, ground)
    ImageDraw.Draw(picture).rectangle((*at, at[0] + 20, at[1] + 20), fill=colour)
    return picture


def star(colour="navy", ground="white") -> Image.Image:
    picture = Image.new("RGB", (64, 64), ground)
    ImageDraw.Draw(picture).polygon([(32, 4), (40, 60), (6, 20), (58, 20), (20, 58)], fill=colour)
    return picture


def cosine(encoder, *pictures) -> float:
    one, other = encoder.encode([encoder.prepare(picture) for picture in pictures])
    return float(one @ other)


@pytest.mark.parametrize(("name", "dimensions"), [("color-histogram", 1344), ("edge-histogram", 576)])
def test_vectors_have_length_one_at_any_size(name, dimensions):
    encoder = HISTOGRAMS[name]()
    vectors = encoder.encode([encoder.prepare(square()), encoder.prepare(square((300, 200), (150, 90)))])
    assert vectors.shape == (2, dimensions)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-5)


def test_a_picture_of_one_colour_has_that_colour_alone_and_no_edges():
    plain = Image.new("RGB", (9, 5), (255, 0, 0))
    vector = ColorHistogram().prepare(plain)
    assert np.flatnonzero(vector[:64]).tolist() == [3 * 16]  # the highest step of red, the lowest of green and blue
    assert (vector > 0).sum() == 21
    assert not EdgeHistogram().prepare(plain).any()


def test_the_colour_histogram_sees_colours_before_shapes_and_places():
    colours = ColorHistogram()
    same, moved = cosine(colours, square(), square()), cosine(colours, square(), square(at=(40, 2)))
    other = cosine(colours, square(), square(colour="red"))
    assert same == pytest.approx(1, abs=1e-5)
    assert same > moved > other
    assert cosine(colours, square(), star()) > cosine(colours, square(), square(ground="black", colour="yellow"))


def test_the_edge_histogram_sees_shapes_and_no_colours():
    edges = EdgeHistogram()
    assert cosine(edges, star(), star("red", "black")) > 0.9
    assert cosine(edges, square(), square(colour="gold", ground="black")) == pytest.approx(1, abs=1e-3)
    assert cosine(edges, square(), star()) < 0.7


def test_directions_of_edges_are_counted_apart():
    def ramp(turned):
        values = np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (64, 1))
        return Image.fromarray(values.T if turned else values).convert("RGB")

    assert cosine(EdgeHistogram(), ramp(False), ramp(True)) < 0.01
