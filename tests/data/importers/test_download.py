from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lexirec.core.errors import DataError
from lexirec.data.importers import download
from lexirec.data.importers.download import BY_HAND, CATEGORIES, MOVIELENS, fetch, files_of
from lexirec.data.importers.registry import FORMATS

CONTENT = bytes(range(256)) * 4000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Shop:
    """What the little server serves and how it misbehaves."""

    def __init__(self):
        self.files = {"/ml-1m.zip": CONTENT, "/ml-1m.zip.md5": f"MD5 (ml-1m.zip) = {MD5}\n".encode()}
        self.tag = '"one"'
        self.cut_after = []
        self.status = None
        self.ranges = []


@pytest.fixture
def shop(monkeypatch):
    monkeypatch.setattr(download, "_PAUSE", 0.0)
    shop = Shop()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            content = shop.files.get(self.path)
            if shop.status or content is None:
                self.send_error(shop.status or 404)
                return
            asked = self.headers.get("Range")
            start = 0
            if self.path.endswith(".zip"):
                shop.ranges.append(asked)
            if asked and self.headers.get("If-Range") == shop.tag:
                start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start and start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.send_header("ETag", shop.tag)
            self.end_headers()
            body = content[start:]
            if self.path.endswith(".zip") and shop.cut_after:
                body = body[: shop.cut_after.pop(0)]
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    shop.url = f"http://127.0.0.1:{server.server_port}"
    yield shop
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_file_arrives_whole(tmp_path, shop):
    (path,) = fetch("movielens/1m", tmp_path / "new", mirror=shop.url)
    assert path == tmp_path / "new" / "ml-1m.zip"
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == ["ml-1m.zip"]
    fetch("movielens/1m", tmp_path / "new", mirror=shop.url)
    assert shop.ranges == [None]


def test_a_cut_download_is_carried_on(tmp_path, shop):
    shop.cut_after = [300_000, 400_000]
    (path,) = fetch("movielens/1m", tmp_path, mirror=shop.url)
    assert path.read_bytes() == CONTENT
    assert shop.ranges == [None, "bytes=300000-", "bytes=700000-"]


def test_a_later_call_carries_on(tmp_path, shop):
    shop.cut_after = [100_000, 0, 0, 0, 0]
    with pytest.raises(DataError, match=r"the connection was cut after 100,000 of 1,024,000 bytes\. Download by hand"):
        fetch("movielens/1m", tmp_path, mirror=shop.url)
    assert (tmp_path / "ml-1m.zip.part").stat().st_size == 100_000
    shop.ranges.clear()
    fetch("movielens/1m", tmp_path, mirror=shop.url)
    assert shop.ranges == ["bytes=100000-"]
    assert (tmp_path / "ml-1m.zip").read_bytes() == CONTENT


def test_another_file_on_the_server_is_fetched_from_the_start(tmp_path, shop):
    shop.cut_after = [100_000, 0, 0, 0, 0]
    with pytest.raises(DataError):
        fetch("movielens/1m", tmp_path, mirror=shop.url)
    shop.tag = '"two"'
    shop.files["/ml-1m.zip"] = CONTENT[::-1]
    shop.files["/ml-1m.zip.md5"] = hashlib.md5(CONTENT[::-1]).hexdigest().encode()
    fetch("movielens/1m", tmp_path, mirror=shop.url)
    assert (tmp_path / "ml-1m.zip").read_bytes() == CONTENT[::-1]


def test_a_part_that_is_too_long_is_begun_anew(tmp_path, shop):
    (tmp_path / "ml-1m.zip.part").write_bytes(CONTENT + b"more")
    (tmp_path / "ml-1m.zip.part.tag").write_text(shop.tag)
    fetch("movielens/1m", tmp_path, mirror=shop.url)
    assert (tmp_path / "ml-1m.zip").read_bytes() == CONTENT


def test_a_complete_part_only_lacks_its_check(tmp_path, shop):
    shop.files.pop("/ml-1m.zip.md5")
    with pytest.raises(DataError, match=r"its checksum http\S+/ml-1m.zip.md5 cannot be downloaded"):
        fetch("movielens/1m", tmp_path, mirror=shop.url)
    shop.files["/ml-1m.zip.md5"] = MD5.encode()
    fetch("movielens/1m", tmp_path, mirror=shop.url)
    assert shop.ranges == [None, "bytes=1024000-"]
    assert (tmp_path / "ml-1m.zip").read_bytes() == CONTENT


def test_a_wrong_checksum_removes_the_file(tmp_path, shop):
    shop.files["/ml-1m.zip.md5"] = b"0" * 32 + b"  ml-1m.zip\n"
    with pytest.raises(DataError) as caught:
        fetch("movielens/1m", tmp_path, mirror=shop.url)
    message = f"ml-1m.zip: the MD5 is {MD5}, the publisher's is {'0' * 32}; the file was removed, fetch it again."
    assert str(caught.value) == message
    assert list(tmp_path.iterdir()) == []


def test_offline_says_what_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_PAUSE", 0.0)
    closed = "http://127.0.0.1:9"
    with pytest.raises(DataError) as caught:
        fetch("amazon-2014/Beauty", tmp_path, mirror=closed)
    said = str(caught.value)
    assert said.startswith(f"{closed}/reviews_Beauty_5.json.gz: the server cannot be reached (")
    assert said.endswith(
        f"Download by hand: {closed}/reviews_Beauty_5.json.gz -> {tmp_path}/reviews_Beauty_5.json.gz; "
        f"{closed}/meta_Beauty.json.gz -> {tmp_path}/meta_Beauty.json.gz"
    )
    assert "\n" not in said


def test_a_missing_file_is_not_tried_again(tmp_path, shop):
    with pytest.raises(DataError, match="the server answers 404 Not Found"):
        fetch("movielens/10m", tmp_path, mirror=shop.url)
    shop.status = 503
    with pytest.raises(DataError, match="the server answers 503 Service Unavailable"):
        fetch("movielens/1m", tmp_path, mirror=shop.url)


def test_addresses_are_the_official_ones():
    base = "https://mcauleylab.ucsd.edu/public_datasets/data/"
    assert [file.url for file in files_of("amazon-2014/Beauty")] == [
        "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles/reviews_Beauty_5.json.gz",
        "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles/meta_Beauty.json.gz",
    ]
    assert [file.url for file in files_of("amazon-2018/Office_Products/all")] == [
        f"{base}amazon_v2/categoryFiles/Office_Products.json.gz",
        f"{base}amazon_v2/metaFiles2/meta_Office_Products.json.gz",
    ]
    assert [file.url for file in files_of("amazon-2023/All_Beauty")] == [
        f"{base}amazon_2023/raw/review_categories/All_Beauty.jsonl.gz",
        f"{base}amazon_2023/raw/meta_categories/meta_All_Beauty.jsonl.gz",
    ]
    (movielens,) = files_of("movielens/25m")
    assert movielens.url == "https://files.grouplens.org/datasets/movielens/ml-25m.zip"
    assert movielens.checksum_url == movielens.url + ".md5"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("movielense/1m", "There is no data set 'movielense/1m'; .* Did you mean 'movielens'"),
        ("amazon-2014/Beaty", "There is no 'Beaty' of amazon-2014; .* Did you mean 'Beauty'"),
        ("amazon-2014", "There is no '' of amazon-2014; there are Amazon_Instant_Video"),
        ("amazon-2023/Books/all", "There is no 'Books/all' of amazon-2023"),
        ("movielens/2m", "there are 100k, 1m, 10m"),
    ],
)
def test_unknown_data_sets_name_the_nearest(name, message):
    with pytest.raises(DataError, match=message):
        files_of(name)


def test_every_known_data_set_has_files():
    names = [f"{family}/{category}" for family, categories in CATEGORIES.items() for category in categories]
    names += [f"movielens/{release}" for release in MOVIELENS]
    assert all(file.url.startswith("https://") for name in names for file in files_of(name))
    assert [len(CATEGORIES[family]) for family in CATEGORIES] == [24, 29, 34]


@pytest.mark.parametrize("dataset", BY_HAND)
def test_data_sets_to_download_by_hand_say_what_to_put_where(tmp_path, dataset):
    with pytest.raises(DataError, match=rf"^'{dataset}' cannot be fetched: .+") as caught:
        fetch(dataset, tmp_path / "raw")
    assert f"into {tmp_path / 'raw'}, then run lexirec import {dataset} {tmp_path / 'raw'} TABLES." in str(caught.value)
    assert dataset in FORMATS
    assert not (tmp_path / "raw").exists()
