import json

import pytest

from lexirec.cli import main
from tests.worlds.grown_shop import unpack


@pytest.fixture
def store(tmp_path):
    return unpack(tmp_path).root


def run(store, *words, fails=False):
    with pytest.raises(SystemExit) as end:
        main(["-q", *words, "--store", str(store)])
    assert bool(end.value.code) is fails


def test_a_shop_adds_changes_hides_and_goes_back(store, tmp_path, capsys):
    items = tmp_path / "new.csv"
    items.write_text(
        "sku,title,brand,categories,description,price\n"
        "n1,Brass desk lamp,Hearth,Lamps,A lamp of brass,12.5\nn2,Oak reading chair,Hearth,Chairs,A chair of oak,99\n"
    )
    on = ("old-gram", "--with", "memory")
    run(store, "catalog", "add", *on, str(items), "--column", "item_id=sku")
    run(store, "catalog", "publish", *on, "--json")
    assert json.loads(capsys.readouterr().out.partition("\n")[2])["counts"]["added"] == 2
    prices = tmp_path / "prices.csv"
    prices.write_text("item_id,price\nn1,7.5\n")
    run(store, "catalog", "update", *on, str(prices))
    assert "facts of 1 items have changed" in capsys.readouterr().out
    cheap = ("recommend", *on, "--history", "n2", "--allow", "price<8", "--json")
    run(store, *cheap)
    assert "n1" in [each["item_id"] for each in json.loads(capsys.readouterr().out)]
    run(store, "catalog", "diff", *on, "--json")
    assert json.loads(capsys.readouterr().out)["added"] == ["n1", "n2"]
    run(store, "catalog", "hide", *on, "n1")
    capsys.readouterr()
    run(store, "recommend", *on, "--history", "n2", "--json", "-k", "90")
    assert "n1" not in [each["item_id"] for each in json.loads(capsys.readouterr().out)]
    run(store, "catalog", "remove", *on, "n2")
    run(store, "catalog", "versions", *on)
    assert "1 removals. Hidden: 2 items" in capsys.readouterr().out
    run(store, "catalog", "rollback", *on)
    capsys.readouterr()
    run(store, "recommend", *on, "--history", "n2", fails=True)
    assert "Item 'n2' is not in the catalog of 84 items" in capsys.readouterr().err


def test_items_are_recommended_within_their_windows(store, tmp_path, capsys):
    on = ("old-gram", "--with", "memory")
    ask = ("recommend", *on, "--history", "toy-00005", "--json", "-k", "90")

    def listed():
        run(store, *ask)
        return {each["item_id"] for each in json.loads(capsys.readouterr().out)}

    everything = listed()
    first, second, third = sorted(everything - {"toy-00005"})[:3]
    windows = tmp_path / "windows.csv"
    windows.write_text(
        "item_id,available_from,available_until\n"
        f"{first},2999-01-01T00:00:00+01:00,\n{second},,2020-01-01T00:00:00Z\n{third},1000,32503680000\n"
    )
    run(store, "catalog", "update", *on, str(windows))
    capsys.readouterr()
    assert listed() == everything - {first, second}
    windows.write_text(f"item_id,available_from\n{first},\n{second},\n")
    run(store, "catalog", "update", *on, str(windows))
    capsys.readouterr()
    assert listed() == everything - {second}
    windows.write_text(f"item_id,available_from\n{first},soon\n")
    run(store, "catalog", "update", *on, str(windows), fails=True)
    assert f"available_from of item '{first}' is 'soon', which is no time" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("publish", "old-gram"), "nothing is staged for old-gram"),
        (("publish", "gram"), "has no finished experiment 'gram'"),
        (("rollback", "old-gram"), "no version to go back to"),
        (("hide", "old-gram", "x"), "Item 'x' is not in the catalog"),
        (("add", "old-gram", "nothing.csv"), "nothing.csv"),
        (("diff", "old-gram", "--to", "3"), "there is no catalog version 3; kept are 0"),
    ],
)
def test_mistakes_are_one_line(store, capsys, words, message):
    run(store, "catalog", *words, fails=True)
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_a_file_without_texts_is_refused(store, tmp_path, capsys):
    file = tmp_path / "odd.csv"
    file.write_text("item_id,name\nn1,Lamp\n")
    run(store, "catalog", "add", "old-gram", str(file), fails=True)
    assert "none of the catalog's texts" in capsys.readouterr().err
