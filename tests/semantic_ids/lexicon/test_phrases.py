from lexirec.semantic_ids.lexicon.phrases import find_phrases


def having(phrases, name):
    column = phrases.presence[:, [phrases.vocabulary.index(name)]].toarray().ravel()
    return column.round(3).tolist()


def test_numbers_stop_words_and_short_units_say_nothing():
    phrases = find_phrases(["The hammer of 12 kg", "a nail 4mm with grip"])
    assert set(phrases.vocabulary) == {"hammer", "nail", "grip"}


def test_plurals_count_as_their_singular():
    phrases = find_phrases(["glove brush glass", "gloves brushes glass", "bus stop"])
    assert having(phrases, "glove") == having(phrases, "brush") == having(phrases, "glass") == [1, 1, 0]
    assert "bus" in phrases.vocabulary


def test_words_found_together_are_one_phrase_and_never_across_a_pause():
    texts = ["3D printer blue filament"] * 4 + ["printer ink, 3D glasses", "blue sky", "filament red"]
    phrases = find_phrases(texts)
    assert "3d printer" in phrases.vocabulary
    assert "ink 3d" not in phrases.vocabulary
    assert "3d" not in phrases.vocabulary
    steel = find_phrases(["stainless steel pot"] * 4 + ["steel wool", "steel nail", "carbon steel"])
    assert "stainless steel" in steel.vocabulary
    assert "stainless" not in steel.vocabulary  # it is always part of the pair
    assert having(steel, "steel") == [1] * 7


def test_details_count_a_third_and_only_at_their_start():
    details = ["hammer for wood " + "and so on " * 60 + "anvil", "nail"]
    phrases = find_phrases(["hammer", "claw"], details)
    assert having(phrases, "hammer") == [1, 0]
    assert having(phrases, "nail") == [0, 0.333]
    assert "anvil" not in phrases.vocabulary


def test_brands_are_no_terms_but_words_that_also_are_names_stay():
    texts = ["Stanley hammer", "Stanley saw", "Steel Works knife", "steel pot", "steel pan"]
    brands = ["Stanley", "Stanley", "Steel Works", "", ""]
    vocabulary = find_phrases(texts, brands=brands).vocabulary
    assert "stanley" not in vocabulary
    assert "steel" in vocabulary


def test_part_numbers_of_large_catalogues_are_left_out():
    texts = [f"part{number} hammer" for number in range(100)]
    assert find_phrases(texts).vocabulary == ("hammer",)
    assert "part7" in find_phrases(texts[:50]).vocabulary
