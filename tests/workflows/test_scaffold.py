import pytest

from lexirec.core.errors import DataError, SettingsError
from lexirec.data.inference.times import TimeChoice
from lexirec.data.loading import read_data
from lexirec.data.toy_shop.shop import toy_shop
from lexirec.models.baselines.item_similarity import EaseSettings
from lexirec.pipeline.experiment import load_experiment
from lexirec.workflows.scaffold import RECIPES, draft_experiment


@pytest.fixture
def shop(tmp_path):
    """A folder with the two tables of a small toy shop."""
    toy_shop(items=84, shoppers=60).write(tmp_path / "shop")
    return tmp_path / "shop"


@pytest.mark.parametrize("family", RECIPES)
def test_a_draft_is_an_experiment(shop, family):
    draft = draft_experiment(shop / "items.parquet", shop / "interactions.parquet", shop / "mine.toml", family=family)
    found = load_experiment(draft.path)
    assert found.name == "mine"
    assert found.data.items == shop / "items.parquet"
    assert found.data.text == ("title", "brand", "categories", "description")
    assert found.model.kind == {"gram": "late-fusion", "tsrec": "causal"}[family]
    assert found.ensemble["fused"].of == ("model", "memory")
    assert not found.model.training.distillation.rehearsal
    assert (draft.items, draft.users) == (84, 60)
    assert '"items.parquet"' in draft.text, "paths beside the file are relative, so that the folder can be moved"


def test_sizes_follow_the_data(shop):
    draft = draft_experiment(shop / "items.parquet", shop / "interactions.parquet", shop / "mine.toml")
    found = load_experiment(draft.path)
    assert (found.codes.branching, found.backbone.vocabulary_size, found.model.training.epochs) == (16, 2000, 8)


def test_messy_tables_become_a_working_experiment_with_remarks(tmp_path):
    (tmp_path / "items.csv").write_text("asin,name\nA1,Iron pan\nA2,Spatula\nA3,Kettle\n,nobody\n")
    days = [f"{user},A{item},2024-01-0{item}" for user in ("ann", "bob") for item in (1, 2, 3)]
    (tmp_path / "events.csv").write_text(
        "\n".join(["customer,asin,date", *days, "cyd,A1,2024-02-01", "cyd,A9,2024-02-02"])
    )
    draft = draft_experiment(tmp_path / "items.csv", tmp_path / "events.csv", tmp_path / "out" / "mine.toml")
    found = load_experiment(draft.path)
    assert found.data.item_columns == {"item_id": "asin", "title": "name"}
    assert found.data.on_bad_row == "reject"
    assert found.data.items == tmp_path / "items.csv", "not beside the file, so written in full"
    assert (draft.items, draft.users, draft.events) == (3, 3, 7)
    assert "1 rows are rejected: empty item id" in draft.remarks
    assert "1 rows are rejected: unknown item" in draft.remarks
    assert "2 of 3 users have enough events (three) to be evaluated" in draft.remarks
    assert all(f"# {remark}." in draft.text for remark in draft.remarks)


def test_events_written_twice_are_kept_once_unless_times_are_whole_days(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title\nA1,Iron pan\nA2,Spatula\nA3,Kettle\n")
    for name, second in (("seconds", 1), ("days", 0)):
        times = [(n, 1_700_006_400 + 86_400 * n + second) for n in (1, 2, 3, 3)]
        rows = [f"{user},A{n},{moment}" for user in ("ann", "bob") for n, moment in times]
        (tmp_path / f"{name}.csv").write_text("\n".join(["user_id,item_id,time", *rows]))
    draft = draft_experiment(tmp_path / "items.csv", tmp_path / "seconds.csv", tmp_path / "seconds.toml")
    assert (draft.events, load_experiment(draft.path).data.drop_repeats) == (6, True)
    assert "2 events repeat the user, item and time of another and are dropped" in draft.remarks
    draft = draft_experiment(tmp_path / "items.csv", tmp_path / "days.csv", tmp_path / "days.toml")
    assert (draft.events, load_experiment(draft.path).data.drop_repeats) == (8, False)


def test_events_that_take_something_back_do_not_count_and_further_conditions_are_proposed(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title\nA1,Iron pan\nA2,Spatula\nA3,Kettle\nA4,Oak rug\n")
    rows = [f"u{n // 4},A{n % 4 + 1},{1_700_000_000 + 60 * n},{[5, 4, 3, -1][n % 4]}" for n in range(12)]
    (tmp_path / "events.csv").write_text("\n".join(["user_id,item_id,time,rating", *rows]))
    draft = draft_experiment(tmp_path / "items.csv", tmp_path / "events.csv", tmp_path / "mine.toml")
    found = load_experiment(draft.path).data
    assert (draft.events, found.where) == (9, "rating >= 0")
    assert '3 events are left out, as they do not meet where = "rating >= 0"' in draft.remarks
    assert '\nwhere = "rating >= 0"\n# where = "rating >= 4"\n' in draft.text
    text = draft.text.replace('where = "rating >= 0"\n# ', "")
    (tmp_path / "strict.toml").write_text(text)
    assert load_experiment(tmp_path / "strict.toml").data.where == "rating >= 4"


def test_what_is_unusual_of_a_file_is_written_into_the_experiment(tmp_path):
    titles = [f"Caf\xe9 {name}" for name in ("pan", "rug", "lamp")]
    items = "id;title;notes\n" + "".join(f"A{n};{title};made by hand\n" for n, title in enumerate(titles))
    (tmp_path / "items.csv").write_bytes(items.encode("latin-1"))
    (tmp_path / "events.csv").write_text("user_id,items\n" + "".join(f"u{n},A0|A1|A2\n" for n in range(4)))
    draft = draft_experiment(tmp_path / "items.csv", tmp_path / "events.csv", tmp_path / "mine.toml")
    found = load_experiment(draft.path).data
    assert found.formats.items.encoding == "cp1252"
    assert found.interaction_columns == {"item_id": "items"}
    assert (draft.users, draft.events) == (4, 12)
    catalog, events = read_data(found)
    assert catalog.field("title") == titles
    assert events.sequences.row(3).tolist() == [0, 1, 2]
    assert "text columns left out: notes; add them to text to use them" in draft.remarks


@pytest.mark.filterwarnings("error")
def test_users_with_too_few_events_are_refused(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title\nA1,Iron pan\nA2,Spatula\n")
    rows = [f"u{n // 2},A{n % 2 + 1},{1_700_000_000 + n}" for n in range(12)]
    (tmp_path / "events.csv").write_text("\n".join(["user_id,item_id,time", *rows]))
    message = r"^\S+events\.csv: none of the 6 users has three events, one each for training, validation and test"
    with pytest.raises(DataError, match=message) as error:
        draft_experiment(tmp_path / "items.csv", tmp_path / "events.csv", tmp_path / "mine.toml")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "mine.toml").exists()


def test_a_time_split_is_taught_by_the_memory_and_chooses_weights_on_unseen_events(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title\n" + "".join(f"A{n},thing {n} of many\n" for n in range(6)))
    parts = ["train", "train", "valid", "valid", "test"]
    for users, rehearsal in ((6, 2), (4, 0)):  # four training rows cannot be dealt into five folds
        rows = [f"u{user},A{place},{place},{part}" for user in range(users) for place, part in enumerate(parts)]
        (tmp_path / "events.csv").write_text("\n".join(["user_id,item_id,position,split", *rows]))
        draft = draft_experiment(tmp_path / "items.csv", tmp_path / "events.csv", tmp_path / f"{users}.toml")
        found = load_experiment(draft.path)
        assert found.data.split.kind == "published"
        assert found.ensemble["fused"].choose_on == "unseen"
        assert found.model.training.distillation.rehearsal == rehearsal


def test_what_is_known_of_times_and_ids_is_written(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title\n0001,Iron pan\n0002,Spatula\n0003,Kettle\n")
    rows = [f"{user},{n},0{n}/0{n + 1}/2019 10:00" for user in ("ann", "bob") for n in (1, 2, 3)]
    (tmp_path / "events.csv").write_text("\n".join(["user_id,item_id,ordered", *rows[::-1]]))
    tables = tmp_path / "items.csv", tmp_path / "events.csv"
    with pytest.raises(
        DataError, match=r"column 'ordered': '01/02/2019 10:00' may be day/month/year or month/day/year"
    ):
        draft_experiment(*tables, tmp_path / "mine.toml")
    assert not (tmp_path / "mine.toml").exists()
    times = TimeChoice(format="%d/%m/%Y %H:%M", zone="Europe/Berlin")
    found = load_experiment(draft_experiment(*tables, tmp_path / "mine.toml", times=times).path).data
    assert (found.time_format, found.time_zone) == ("%d/%m/%Y %H:%M", "Europe/Berlin")
    assert found.match_ids == ("leading-zeros",)
    assert found.interaction_columns == {"time": "ordered"}
    catalog, events = read_data(found)
    assert [catalog.item_ids[n] for n in events.sequences.row(0)] == ["0001", "0002", "0003"]
    assert events.times[0] == 1_549_011_600  # 2019-02-01 09:00 UTC
    assert events.protocol["order"] == "by column 'ordered' (%d/%m/%Y %H:%M, in Europe/Berlin), ties keep file order"
    plain = load_experiment(draft_experiment(*tables, tmp_path / "file.toml", times=TimeChoice(column="")).path).data
    assert (plain.time_format, plain.time_zone, plain.interaction_columns) == (None, "UTC", {})


def test_nothing_is_overwritten_and_mistakes_are_reported(shop):
    tables = shop / "items.parquet", shop / "interactions.parquet"
    (shop / "mine.toml").write_text("seed = 1\n")
    with pytest.raises(SettingsError, match=r"mine\.toml exists and is not overwritten"):
        draft_experiment(*tables, shop / "mine.toml")
    with pytest.raises(SettingsError, match=r"--family gramm: allowed are gram, tsrec\. Did you mean 'gram'"):
        draft_experiment(*tables, shop / "new.toml", family="gramm")
    with pytest.raises(DataError, match="no such file"):
        draft_experiment(shop / "itmes.parquet", tables[1], shop / "new.toml")
    assert not (shop / "new.toml").exists()


def test_baselines_of_a_large_catalogue_are_left_out_or_sampled_with_a_line(shop, monkeypatch):
    monkeypatch.setattr("lexirec.core.environment.total_memory", lambda: 2**20)
    monkeypatch.setattr(EaseSettings, "too_large", lambda *_: "ease: 84 items need more than there is")
    monkeypatch.setattr("lexirec.workflows.scaffold._SCORES", 100)
    draft = draft_experiment(shop / "items.parquet", shop / "interactions.parquet", shop / "mine.toml")
    found = load_experiment(draft.path)
    assert "ease" not in found.baselines
    assert "# Left out: ease: 84 items need more than there is." in draft.text
    assert found.baselines["sasrec-dot"].training.negatives == 256
    assert "scores of 84 items for up to 1,200 targets a step need about" in draft.text
    assert found.evaluation.sample_users == 20_000
    assert "# Every case scores 84 items, so a sample of the 60 cases is evaluated." in draft.text
