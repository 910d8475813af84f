from __future__ import annotations

import gzip
import json
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.data.importers.registry import FORMATS, import_dataset
from lexirec.data.interactions import Interactions
from lexirec.data.neighbors import read_published


def zstd(content):
    return pa.compress(content, codec="zstd", asbytes=True)


def rows(folder, name):
    return pq.read_table(folder / f"{name}.parquet").to_pylist()


def lines(records, write=json.dumps):
    return "".join(write(record) + "\n" for record in records).encode()


def histories(folder, text=("title",)):
    catalog = Catalog.read(folder / "items.parquet", text=text)
    events = Interactions.read(folder / "interactions.parquet", catalog)
    return {
        str(user): [catalog.item_ids[item] for item in events.sequences.row(row)]
        for row, user in enumerate(events.user_ids)
    }


REVIEWS_2014 = [
    {"reviewerID": "u1", "asin": "B1", "overall": 5.0, "unixReviewTime": 1400000000, "reviewText": 'It\'s "good"'},
    {"reviewerID": "u1", "asin": "B2", "overall": 3.0, "unixReviewTime": 1300000000},
    {"reviewerID": "u2", "asin": "B2", "overall": 4.0, "unixReviewTime": 1350000000},
    {"reviewerID": "u2", "asin": "B9", "overall": 4.0, "unixReviewTime": 1350000001},
]
ITEMS_2014 = [
    {
        "asin": "B1",
        "title": "Dad&#39;s  Mug",
        "brand": "Tassel",
        "price": 5.5,
        "categories": [["Kitchen", "Mugs &amp; Cups"], ["Gifts"]],
        "salesRank": {"Kitchen": 12},
        "description": "A <b>red</b> mug.",
    },
    {"asin": "B2", "title": 'Mug 12" tall'},
    {"asin": "B2", "title": "Again"},
    {"asin": "B3", "title": "Nobody took this"},
    {"asin": "B9", "price": 2.0},
]


@pytest.mark.parametrize("write_reviews", [json.dumps, repr])
def test_amazon_2014_with_python_literals(tmp_path, write_reviews):
    source = tmp_path / "raw"
    source.mkdir()
    (source / "reviews_Mugs_5.json.gz").write_bytes(gzip.compress(lines(REVIEWS_2014, write_reviews)))
    (source / "meta_Mugs.json.gz").write_bytes(gzip.compress(lines(ITEMS_2014, repr)))
    done = import_dataset("amazon-2014", source, tmp_path / "out")
    assert (done.items, done.users, done.interactions) == (2, 2, 3)
    assert done.left_out == {
        "second description of an item": 1,
        "item without interactions": 1,
        "item without text": 1,
        "interaction with an item without text": 1,
    }
    assert done.files == ("items.parquet", "interactions.parquet")
    first, second = rows(tmp_path / "out", "items")
    assert first == {
        "item_id": "B1",
        "title": "Dad's Mug",
        "brand": "Tassel",
        "categories": ["Kitchen", "Mugs & Cups"],
        "price": 5.5,
        "description": "A red mug.",
        "sales_rank": 12,
        "sales_type": "Kitchen",
    }
    assert second["title"] == 'Mug 12" tall'
    assert second["brand"] is None
    assert rows(tmp_path / "out", "interactions")[0] == {
        "user_id": "u1",
        "item_id": "B1",
        "time": 1400000000.0,
        "rating": 5.0,
    }
    assert histories(tmp_path / "out") == {"u1": ["B2", "B1"], "u2": ["B2"]}


def test_a_literal_runs_no_code(tmp_path):
    (tmp_path / "reviews_Mugs.json").write_bytes(lines(REVIEWS_2014))
    (tmp_path / "meta_Mugs.json").write_bytes(b"{'asin': 'B1', 'title': 'Mug'}\n__import__('os').getcwd()\n")
    with pytest.raises(DataError, match=r"meta_Mugs.json, line 2: malformed line \(ValueError\) in \"__import__"):
        import_dataset("amazon-2014", tmp_path, tmp_path / "out")
    done = import_dataset("amazon-2014", tmp_path, tmp_path / "out", on_bad_row="reject")
    assert done.left_out["malformed line (ValueError)"] == 1
    assert rows(tmp_path / "out", "rejects")[0]["row"] == 2
    assert done.files[-1] == "rejects.parquet"


def test_amazon_2018(tmp_path):
    reviews = [{"reviewerID": "u", "asin": "B1", "overall": 5.0, "unixReviewTime": 1500000000}]
    items = [
        {
            "asin": "B1",
            "title": "Relay",
            "brand": "by\nSUPCO",
            "category": ["Industrial", "Relays", '</span></span><span id="x">', "Not a category"],
            "description": ["Hard start kit.", "", "500%"],
            "price": "$1,012.99",
            "rank": ["&gt;#5,678 in Industrial &amp; Scientific (See top)"],
        }
    ]
    (tmp_path / "Industrial_5.json.gz").write_bytes(gzip.compress(lines(reviews)))
    (tmp_path / "meta_Industrial.json.zst").write_bytes(zstd(lines(items)))
    import_dataset("amazon-2018", tmp_path, tmp_path / "out")
    assert rows(tmp_path / "out", "items") == [
        {
            "item_id": "B1",
            "title": "Relay",
            "brand": "SUPCO",
            "categories": ["Industrial", "Relays"],
            "price": 1012.99,
            "description": "Hard start kit. 500%",
            "sales_rank": 5678,
            "sales_type": "Industrial & Scientific",
        }
    ]


def test_amazon_2023_has_milliseconds_and_parents(tmp_path):
    reviews = [
        {"user_id": "u", "asin": "C1", "parent_asin": "P1", "rating": 5.0, "timestamp": 1588687728923},
        {"user_id": "u", "asin": "C2", "parent_asin": "P2", "rating": 1.0, "timestamp": 1588687728000},
    ]
    items = [
        {"parent_asin": "P1", "title": "Comb", "store": "Howard", "price": "from 3.99", "categories": []},
        {"parent_asin": "P2", "title": "Brush", "details": {"Brand": "Ibis", "Best Sellers Rank": {"Beauty": 3}}},
    ]
    (tmp_path / "Beauty.jsonl.gz").write_bytes(gzip.compress(lines(reviews)))
    (tmp_path / "meta_Beauty.jsonl.gz").write_bytes(gzip.compress(lines(items)))
    import_dataset("amazon-2023", tmp_path, tmp_path / "out")
    assert histories(tmp_path / "out") == {"u": ["P2", "P1"]}
    assert rows(tmp_path / "out", "interactions")[0]["time"] == 1588687728.923
    first, second = rows(tmp_path / "out", "items")
    assert (first["brand"], first["price"], first["categories"]) == ("Howard", None, None)
    assert (second["brand"], second["sales_rank"], second["sales_type"]) == ("Ibis", 3, "Beauty")


def test_gram_with_all_its_files(tmp_path):
    (tmp_path / "user_sequence.txt").write_text("A1 i2 i1\nA2 i1 i3\n", encoding="utf-8")
    (tmp_path / "item_plain_text.txt").write_text(
        "i1 title: mug; note: blue; brand: na; categories: kitchen, mugs; price: 5.04; salesrank: kitchen: 12\n"
        "i2 title: pot; brand: tassel; categories: kitchen\n" + "".join(f"x{n} title: t\n" for n in range(30)),
        encoding="utf-8",
    )
    (tmp_path / "similar_item_sasrec.txt").write_text("anchor similar\ni1 i2\ni2 i1 x3\n", encoding="utf-8")
    (tmp_path / "item_generative_indexing_c4_l2.txt").write_text("i1 |▁mug|▁blue\ni2 |▁pot\n", encoding="utf-8")
    done = import_dataset("gram", tmp_path, tmp_path / "out")
    assert done.files == ("items.parquet", "interactions.parquet", "neighbors.parquet", "identifiers.parquet")
    assert done.left_out == {"interaction with an item without text": 1}
    assert done.items == 32
    first, second, *_ = rows(tmp_path / "out", "items")
    assert first["title"] == "mug; note: blue"
    assert first["brand"] is None
    assert first["categories"] == ["kitchen", "mugs"]
    assert first["salesrank"] == "kitchen: 12"
    assert second["price"] is None
    assert histories(tmp_path / "out") == {"A1": ["i2", "i1"], "A2": ["i1"]}
    catalog = Catalog.read(tmp_path / "out" / "items.parquet", text=["title"])
    neighbors = read_published(tmp_path / "out" / "neighbors.parquet", catalog)
    assert neighbors.items[:2].tolist() == [[1, -1], [0, 5]]
    assert rows(tmp_path / "out", "identifiers") == [
        {"item_id": "i1", "c4_l2": "|▁mug|▁blue"},
        {"item_id": "i2", "c4_l2": "|▁pot"},
    ]


def movielens_1m(folder):
    (folder / "ratings.dat").write_text("1::10::5::978300760\n1::20::3::978300000\n2::10::4::978300001\n")
    (folder / "movies.dat").write_bytes('10::Café: "A" (1995)::Drama|Comedy\n20::Up::\n'.encode("latin-1"))


def test_movielens_dat(tmp_path):
    movielens_1m(tmp_path)
    import_dataset("movielens", tmp_path, tmp_path / "out")
    assert rows(tmp_path / "out", "items") == [
        {"item_id": "10", "title": 'Café: "A" (1995)', "categories": ["Drama", "Comedy"], "year": 1995},
        {"item_id": "20", "title": "Up", "categories": None, "year": None},
    ]
    assert histories(tmp_path / "out") == {"1": ["20", "10"], "2": ["10"]}


def test_movielens_csv_in_its_zip(tmp_path):
    ratings = "userId,movieId,rating,timestamp\n1,10,4.5,1147868817\n"
    movies = 'movieId,title,genres\n10,"Heat, The (1995)",(no genres listed)\n'
    with zipfile.ZipFile(tmp_path / "ml-25m.zip", "w") as archive:
        archive.writestr("ml-25m/ratings.csv", ratings)
        archive.writestr("ml-25m/movies.csv", movies)
        archive.writestr("ml-25m/tags.csv", "not needed")
    import_dataset("movielens", tmp_path, tmp_path / "out")
    assert rows(tmp_path / "out", "items")[0]["title"] == "Heat, The (1995)"
    assert rows(tmp_path / "out", "items")[0]["categories"] is None
    assert rows(tmp_path / "out", "interactions") == [
        {"user_id": "1", "item_id": "10", "time": 1147868817.0, "rating": 4.5}
    ]


def test_yelp(tmp_path):
    reviews = [
        {"user_id": "u", "business_id": "b1", "stars": 5.0, "date": "2018-07-07 22:09:11"},
        {"user_id": "u", "business_id": "b2", "stars": 2.0, "date": "2012-01-03 15:28:18"},
    ]
    businesses = [
        {"business_id": "b1", "name": "Bun", "categories": "Thai, Bakeries", "city": "Tempe", "state": "AZ"},
        {"business_id": "b2", "name": "Pho", "categories": None, "city": ""},
    ]
    (tmp_path / "yelp_academic_dataset_review.json").write_bytes(lines(reviews))
    (tmp_path / "yelp_academic_dataset_business.json").write_bytes(lines(businesses))
    import_dataset("yelp", tmp_path, tmp_path / "out")
    assert histories(tmp_path / "out") == {"u": ["b2", "b1"]}
    first, second = rows(tmp_path / "out", "items")
    assert (first["categories"], first["city"]) == (["Thai", "Bakeries"], "Tempe")
    assert (second["categories"], second["city"]) == (None, None)
    assert rows(tmp_path / "out", "interactions")[0]["time"] == 1531001351.0


def test_recbole(tmp_path):
    (tmp_path / "x.inter").write_text(
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu\t7\t5\t881250949\nu\t8\t\t881250000\n"
    )
    (tmp_path / "x.item").write_text(
        'item_id:token\tmovie_title:token_seq\trelease_year:float\n7\tThe "Heat\t1995\n8\tUp\t\n'
    )
    import_dataset("recbole", tmp_path, tmp_path / "out")
    assert histories(tmp_path / "out") == {"u": ["8", "7"]}
    assert rows(tmp_path / "out", "items") == [
        {"item_id": "7", "title": 'The "Heat', "release_year": 1995.0},
        {"item_id": "8", "title": "Up", "release_year": None},
    ]


def test_unknown_formats_are_listed(tmp_path):
    with pytest.raises(DataError) as caught:
        import_dataset("movie-lens", tmp_path, tmp_path / "out")
    listed = (
        "gram, amazon-2014, amazon-2018, amazon-2023, movielens, yelp, recbole, mind, goodreads, steam, book-crossing,"
        " retailrocket"
    )
    assert str(caught.value) == f"There is no format 'movie-lens'; there are {listed}. Did you mean 'movielens'?"
    assert list(FORMATS) == listed.split(", ")


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_folder_without_the_files_says_what_is_missing(tmp_path, name):
    with pytest.raises(DataError, match=rf"^{tmp_path}: there is no .+ in this folder\.$"):
        import_dataset(name, tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "files", "message"),
    [
        (
            "amazon-2018",
            {"a.json": b"{}", "b.json": b"{}"},
            "several files could be the review file .*: a.json, b.json",
        ),
        (
            "recbole",
            {"a.inter": b"user,item\n", "a.item": b""},
            "a.inter, line 1: the header is 'user,item'; each name",
        ),
        (
            "gram",
            {"user_sequence.txt": b"\xff", "item_plain_text.txt": b""},
            "user_sequence.txt: the text is not UTF-8",
        ),
        ("gram", {"user_sequence.txt": b" a b\n", "item_plain_text.txt": b""}, "line 1: the line starts with a space"),
        ("gram", {"user_sequence.txt": b"u a\n", "item_plain_text.txt": b"b title: x\n"}, "no event has an item"),
        ("movielens", {"ml-1m.zip": b"PK"}, "ml-1m.zip: the archive cannot be opened"),
        ("movielens", {"ratings.dat": b"1::2::3\n", "movies.dat": b"2::a::b\n"}, "line 1: too few fields in '1::2::3'"),
        (
            "movielens",
            {"ratings.dat": b"1::2::3::978300760\n", "movies.dat": b"2::a\n"},
            "movies.dat, line 1: the line has 2 fields, not three",
        ),
    ],
)
def test_bad_raw_files_get_one_line(tmp_path, name, files, message):
    for file, content in files.items():
        (tmp_path / file).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        import_dataset(name, tmp_path, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(tmp_path):
    movielens_1m(tmp_path)
    import_dataset("movielens", tmp_path, tmp_path / "out")
    with pytest.raises(DataError, match="already; give another folder or remove the file"):
        import_dataset("movielens", tmp_path, tmp_path / "out")
