import pyarrow as pa
import pytest

from lexirec.core.config import validate_settings
from lexirec.core.errors import SettingsError
from lexirec.data.catalog import Catalog
from lexirec.semantic_ids.identifiers.base import name_items
from lexirec.semantic_ids.identifiers.permuted import PermutedIdentifiers
from lexirec.semantic_ids.identifiers.schemes import CodeIdentifiers, KeywordIdentifiers


def spelled(identifiers):
    return [" ".join(identifiers.spelled(item)) for item in range(len(identifiers))]


def test_permuted_identifiers_are_the_same_ones_on_other_items():
    texts = [f"word{number} thing" for number in range(50)]
    catalog = Catalog(pa.table({"item_id": [str(number) for number in range(50)], "title": texts}), ("title",))
    keywords = KeywordIdentifiers(length=2)
    plain, dealt, again, other = (
        spelled(name_items(settings, catalog))
        for settings in (keywords, *(PermutedIdentifiers(of=keywords, seed=seed) for seed in (0, 0, 1)))
    )
    assert sorted(dealt) == sorted(plain)
    assert all(one != two for one, two in zip(plain, dealt))
    assert dealt == again != other


def test_they_need_what_they_deal_out_and_deal_out_no_files():
    assert PermutedIdentifiers().needed() == ("codes", "lexicon")
    assert PermutedIdentifiers(of=CodeIdentifiers()).needed() == ("codes",)
    with pytest.raises(SettingsError, match=r"'of\.kind' is 'published'; allowed: 'lexical', 'keyword', 'text'"):
        validate_settings({"of": {"kind": "published", "path": "x"}}, PermutedIdentifiers)
