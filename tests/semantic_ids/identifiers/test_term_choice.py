import numpy as np
import pytest

from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.identifiers.term_choice import choose_terms
from lexirec.semantic_ids.lexicon.lexicon import Lexicon, LexiconLevel


def level(ranked):
    """Build a level from (term, score) pairs, best first, per cell."""
    offsets = np.concatenate([[0], np.cumsum([len(cell) for cell in ranked])])
    flat = [pair for cell in ranked for pair in cell]
    terms, scores = zip(*flat, strict=True) if flat else ((), ())
    return LexiconLevel(offsets, np.array(terms, dtype=np.int32), np.array(scores, dtype=float))


def random_lexicon(seed, items=120, terms=30, most=12):
    rng = np.random.default_rng(seed)
    values = np.stack([rng.integers(0, 3, items), rng.integers(0, 5, items), rng.integers(0, 3, items)], axis=1)
    codes = Codes(values)
    levels = []
    for number in range(3):
        ranked = []
        for _ in codes.counts(number):
            chosen = rng.choice(terms, size=rng.integers(0, most), replace=False)
            ranked.append(list(zip(chosen, sorted(rng.integers(1, 6, len(chosen)), reverse=True), strict=True)))
        levels.append(level(ranked))
    return Lexicon(tuple(levels), tuple(f"w{number}" for number in range(terms))), codes


def walk(lexicon, codes, item):
    """Walk one item's path as the specification says."""
    used = []
    for number in range(codes.levels):
        found = lexicon.levels[number]
        cell = codes.cells(number)[item]
        ranked = found.terms[found.offsets[cell] : found.offsets[cell + 1]]
        used.append(next((int(term) for term in ranked if term not in used), -1))
    return used


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["tree", "residual"])
def test_paths_are_those_of_the_walk(seed, kind):
    lexicon, codes = random_lexicon(seed)
    if kind == "residual":
        codes = Codes(codes.values, "residual")
    chosen = choose_terms(lexicon, codes)
    assert [row.tolist() for row in chosen] == [walk(lexicon, codes, item) for item in range(len(codes))]


@pytest.mark.parametrize("seed", range(5))
def test_distinct_siblings_share_no_term_and_nobody_was_wronged(seed):
    lexicon, codes = random_lexicon(seed)
    chosen = choose_terms(lexicon, codes, distinct_siblings=True)
    for number in range(codes.levels):
        found, cells = lexicon.levels[number], codes.cells(number)
        families = {}
        for item in range(len(codes)):
            families.setdefault(tuple(chosen[item, :number]), {})[cells[item]] = chosen[item, number]
        for above, family in families.items():
            taken = [term for term in family.values() if term >= 0]
            assert len(taken) == len(set(taken))
            scores = {
                cell: dict(
                    zip(
                        found.terms[found.offsets[cell] : found.offsets[cell + 1]],
                        found.scores[found.offsets[cell] : found.offsets[cell + 1]],
                        strict=True,
                    )
                )
                for cell in family
            }
            holder = {term: cell for cell, term in family.items() if term >= 0}
            for cell, term in family.items():
                ranked = [better for better in scores[cell] if better not in above]
                preferred = ranked[: ranked.index(term)] if term >= 0 else ranked
                for better in preferred:  # somebody else has it, and scores it at least as high
                    assert scores[holder[better]][better] >= scores[cell][better]


def test_a_contested_term_goes_to_the_best_then_the_larger_then_the_first_cell():
    codes = Codes(np.array([[0], [1], [1], [2], [3]]))
    best = level([[(0, 2.0), (1, 1.0)], [(0, 2.0), (2, 1.0)], [(0, 3.0), (3, 1.0)], [(2, 1.0), (4, 0.5)]])
    chosen = choose_terms(Lexicon((best,), tuple("abcde")), codes, distinct_siblings=True)
    assert chosen[:, 0].tolist() == [1, 2, 2, 0, 4]


def test_cells_without_terms_contribute_nothing():
    codes = Codes(np.array([[0, 0], [1, 0]]))
    lexicon = Lexicon((level([[], []]), level([[(0, 1.0)], [(0, 1.0)]])), ("a",))
    assert choose_terms(lexicon, codes).tolist() == [[-1, 0], [-1, 0]]
    assert choose_terms(lexicon, codes, distinct_siblings=True).tolist() == [[-1, 0], [-1, -1]]
