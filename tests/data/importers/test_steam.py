from __future__ import annotations

import gzip

import pytest

from lexirec.core.errors import DataError
from lexirec.data.importers.registry import import_dataset
from tests.data.importers.reading import column, histories, rows, write

GAMES = (
    "{u'publisher': u'Kotoshiro', u'genres': [u'Action', u'Sci&amp;Fi'], u'app_name': u'Lost Kitty\\u2122',"
    " u'title': u'Lost Kitty', u'url': u'http://store.steampowered.com/app/761140/Lost/',"
    " u'release_date': u'2018-01-04', u'tags': [u'Strategy'], u'price': 4.99, u'early_access': False,"
    " u'id': u'761140', u'developer': u'Kotoshiro'}\n"
    "{u'tags': [u'Casual'], u'app_name': u\"Ironbound's\", u'price': u'Free To Play', u'id': u'643980'}\n"
    "\n"
    "{}\n"
    "{u'app_name': u'Batman', u'url': u'http://store.steampowered.com/app/200260', u'price': u'Starting at $19.99'}\n"
    "{u'url': u'http://store.steampowered.com/', u'title': u'Nothing'}\n"
)
REVIEWS = (
    "{u'username': u'Chaos \\ud83d\\ude00', u'hours': 0.1, u'products': 41, u'product_id': u'761140', u'page_order': 0,"
    " u'date': u'2017-12-17', u'text': u'It\\'s \"fine\"\\n', u'early_access': False, u'page': 1}\n"
    "{u'username': u'Chaos \\ud83d\\ude00', u'user_id': u'7656', u'product_id': u'643980', u'date': u'2016-01-02',"
    " u'early_access': True, u'found_funny': 2, u'compensation': u'Product received for free'}\n"
    "{u'username': u'half \\ud83d', u'product_id': u'200260', u'date': u'2014-07-01', u'early_access': False}\n"
)


def packed(**files):
    return {f"{name}.json.gz": gzip.compress(text.encode()) for name, text in files.items()}


def test_reviews_in_python_literals(tmp_path):
    done = import_dataset(
        "steam", write(tmp_path / "raw", packed(steam_reviews=REVIEWS, steam_games=GAMES)), tmp_path / "out"
    )
    assert histories(tmp_path / "out") == {"Chaos 😀": ["643980", "761140"], "half �": ["200260"]}
    first, second, _ = rows(tmp_path / "out")
    assert first == {
        "user_id": "Chaos 😀",
        "item_id": "761140",
        "time": 1513468800.0,
        "hours": 0.1,
        "early_access": False,
        "found_funny": None,
        "compensation": None,
    }
    assert (second["found_funny"], second["compensation"]) == (2.0, "Product received for free")
    assert rows(tmp_path / "out", "items") == [
        {
            "item_id": "761140",
            "title": "Lost Kitty™",
            "developer": "Kotoshiro",
            "publisher": "Kotoshiro",
            "categories": ["Action", "Sci&Fi"],
            "tags": ["Strategy"],
            "price": 4.99,
            "release_date": "2018-01-04",
            "early_access": False,
        },
        {
            "item_id": "643980",
            "title": "Ironbound's",
            "developer": None,
            "publisher": None,
            "categories": ["Casual"],
            "tags": ["Casual"],
            "price": 0.0,
            "release_date": None,
            "early_access": None,
        },
        {
            "item_id": "200260",
            "title": "Batman",
            "developer": None,
            "publisher": None,
            "categories": None,
            "tags": None,
            "price": None,
            "release_date": None,
            "early_access": None,
        },
    ]
    assert done.left_out == {"game without an id": 1}


def test_reviews_by_user_whose_dates_lack_the_year_of_the_crawl(tmp_path):
    reviews = (
        "{'user_id': 'u1', 'user_url': 'x', 'reviews': [{'funny': '', 'posted': 'Posted June 24.', 'item_id': '761140',"
        " 'recommend': True, 'review': 'a'}, {'posted': 'Posted November 5, 2015.', 'item_id': '643980',"
        " 'recommend': False}, {'posted': 'Posted January 2, 2015.', 'item_id': '200260', 'recommend': True}]}\n"
        "{'user_id': 'u2', 'reviews': []}\n"
    )
    folder = write(tmp_path / "raw", packed(australian_user_reviews=reviews, steam_games=GAMES))
    done = import_dataset("steam", folder, tmp_path / "out")
    assert histories(tmp_path / "out") == {"u1": ["200260", "643980", "761140"]}
    assert column(tmp_path / "out", "time") == [1466726400.0, 1446681600.0, 1420156800.0]
    assert column(tmp_path / "out", "recommended") == [True, False, True]
    assert "(1 reviews), are taken to be of 2016" in done.remarks[0]


def test_libraries_have_no_times(tmp_path):
    libraries = (
        "{'user_id': 'u1', 'items_count': 2, 'items': [{'item_id': '643980', 'item_name': 'A', 'playtime_forever': 6,"
        " 'playtime_2weeks': 0}, {'item_id': '761140', 'item_name': 'B', 'playtime_forever': 0}]}\n"
    )
    folder = write(tmp_path / "raw", packed(australian_users_items=libraries, steam_games=GAMES))
    done = import_dataset("steam", folder, tmp_path / "out")
    assert histories(tmp_path / "out") == {"u1": ["643980", "761140"]}
    assert column(tmp_path / "out", "playtime_forever") == [6.0, 0.0]
    assert "libraries have no times" in done.remarks[0]
    write(folder, packed(australian_user_reviews="{}"))
    with pytest.raises(DataError, match=r"several files could be the file of events"):
        import_dataset("steam", folder, tmp_path / "both")


def test_a_line_that_is_no_record(tmp_path):
    folder = write(tmp_path / "raw", packed(steam_reviews=REVIEWS + "__import__('os')\n", steam_games=GAMES))
    with pytest.raises(DataError, match=r"steam_reviews\.json\.gz, line 4: malformed line \(ValueError\)"):
        import_dataset("steam", folder, tmp_path / "out")
    folder = write(tmp_path / "odd", packed(australian_user_reviews="{'reviews': ['a']}\n", steam_games=GAMES))
    with pytest.raises(DataError, match=r"line 1: malformed line \(AttributeError\)"):
        import_dataset("steam", folder, tmp_path / "out")
    folder = write(tmp_path / "none", packed(australian_user_reviews="{'reviews': []}\n", steam_games=GAMES))
    with pytest.raises(DataError, match=r"australian_user_reviews\.json\.gz: no line holds an event"):
        import_dataset("steam", folder, tmp_path / "out")
    no_item = "{'username': 'u', 'date': '2016-01-01'}\n"
    folder = write(tmp_path / "less", packed(steam_reviews=REVIEWS + no_item, steam_games=GAMES))
    with pytest.raises(DataError, match=r"row 4, column 'item': empty item id"):
        import_dataset("steam", folder, tmp_path / "out")
