import json
import logging
import re
import subprocess
import sys
import types
from pathlib import Path

import pyarrow as pa
import pytest

from lexirec import cli
from lexirec.core import progress
from lexirec.core.runs import record
from lexirec.data.catalog import Catalog
from lexirec.data.sequences import Sequences
from lexirec.models.baselines.popularity import Popularity
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.testing import tiny_catalog
from tests.worlds.small_run import SETTINGS, experiment, small_run

EXPERIMENT = """
name = "small"
[data]
kind = "toy-shop"
products = 100
shoppers = 120
[baselines.popularity]
kind = "popularity"
"""


@pytest.fixture(scope="module")
def store() -> Path:
    return small_run()[0].root


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(EXPERIMENT)
    return path


def test_help_is_fast_because_heavy_libraries_wait():
    heavy = ["torch", "transformers", "duckdb", "pyarrow", "numpy", "sklearn", "matplotlib"]
    code = f"import sys, lexirec.cli; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_recommending_loads_neither_pipeline_nor_reports_nor_training(store):
    packages = ["pipeline", "training", "reporting", "workflows"]
    code = (
        "import sys\nfrom lexirec import cli\n"
        f"try:\n    cli.main(['recommend', 'small', '--history', 'toy-00003', '--store', {str(store)!r}])\n"
        "except SystemExit as end:\n    assert not end.code\n"
        f"print([name for name in {packages} if f'lexirec.{{name}}' in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "toy-" in done.stdout
    assert done.stderr.splitlines()[-1] == "[]"


def test_help_lists_every_verb(lexirec):
    status, out, _ = lexirec("--help")
    assert status == 0
    verbs = {"demo", "run", "plan", "show", "verify", "doctor", "recommend", "evaluate", "compare", "audit", "bench"}
    assert verbs | {"import", "fetch"} <= set(re.findall(r"^  (\w+) ", out, re.MULTILINE))


def test_version(lexirec):
    assert re.match(r"lexirec \d+\.\d+", lexirec("--version")[1])


def test_plan_and_run_and_run_again(lexirec, file, tmp_path):
    store = tmp_path / "store"
    status, out, _ = lexirec("plan", file, "--store", store)
    assert status == 0
    assert re.search(r"baselines\.popularity +new", out)
    status, out, err = lexirec("run", file, "--store", store, "--set", "evaluation.ks=[5, 10]")
    assert status == 0
    assert "popularity" in out
    assert "report.md" in out
    assert "data: started" in err
    assert "data: started" not in out
    status, out, err = lexirec("run", file, "--store", store)
    assert "baselines.popularity: reused from the store" in err


def test_until_and_quiet(lexirec, file, tmp_path):
    status, out, err = lexirec("-q", "run", file, "--store", tmp_path / "store", "--until", "data")
    assert (status, err) == (0, "")
    assert "done up to 'data'" in out


def test_the_store_may_come_from_the_environment(lexirec, store, monkeypatch):
    monkeypatch.setenv("LEXIREC_STORE", str(store))
    assert "small" in lexirec("show")[1]


def test_show(lexirec, store):
    assert "small" in lexirec("show", "--store", store)[1]
    out = lexirec("show", "small", "--store", store)[1]
    assert "transitions, reference" in out
    assert "leave-last-out" in out
    out = lexirec("show", "small", "identifiers", "--store", store)[1]
    assert "tokens per identifier" in out
    assert "single child share" in out
    assert '"kind": "lexical"' in out


def test_show_an_empty_store(lexirec, tmp_path):
    assert "no finished experiment yet" in lexirec("show", "--store", tmp_path)[1]


def test_verify_names_damage_and_exits_with_1(lexirec, file, tmp_path):
    lexirec("run", file, "--store", tmp_path, "--until", "data")
    assert lexirec("verify", "--store", tmp_path)[:2] == (0, "1 artifacts verified, 0 damaged\n")
    damaged = next(tmp_path.glob("data/*/user_ids.npy"))
    damaged.write_bytes(b"rubbish")
    status, out, _ = lexirec("verify", "--store", tmp_path)
    assert status == 1
    assert "user_ids.npy is damaged" in out.replace("\n", "")


def test_verify_an_experiment(lexirec, store):
    status, out, _ = lexirec("verify", "small", "--store", store)
    assert status == 0
    assert re.search(r"\d+ artifacts verified, 0 damaged", out)


def test_doctor(lexirec, tmp_path):
    status, out, _ = lexirec("doctor", "--store", tmp_path)
    assert status == 0
    assert "torch" in out


def test_recommend(lexirec, store):
    status, out, _ = lexirec("recommend", "small", "--history", "toy-00003", "toy-00005", "-k", 4, "--store", store)
    assert status == 0
    assert len(re.findall(r"toy-\d{5}", out)) == 4
    assert "toy-00003" not in out


def test_recommend_for_machines_with_filters_and_reasons(lexirec, store):
    arguments = ["recommend", "small", "--history", "toy-00003", "--history", "toy-00005", "--json", "--explain"]
    status, out, _ = lexirec(*arguments, "--allow", "price<60", "-k", 3, "--with", "transitions", "--store", store)
    found = json.loads(out)
    assert status == 0
    assert 0 < len(found) <= 3
    assert set(found[0]) >= {"item_id", "score", "title"}
    everything = json.loads(lexirec(*arguments, "-k", 100, "--include-seen", "--store", store)[1])
    assert {"toy-00003", "toy-00005"} <= {each["item_id"] for each in everything}


def test_recommend_from_a_saved_folder(lexirec, tmp_path):
    folder = small_run()[1].stage("baselines.memory").folder
    status, out, _ = lexirec("recommend", folder, "--history", "toy-00003", "--store", tmp_path)
    assert (status, "toy-" in out) == (0, True)


def test_remarks_about_filters_stand_on_stderr_one_line_each(lexirec, tmp_path):
    catalog = tiny_catalog(6)
    prices = pa.array(["5", "12,50", "call us", "7,00", "", "\x1b[2Jfree"])
    catalog = Catalog(catalog.table.append_column("price", prices), ("title",))
    train = Sequences.from_lists([[i, (i + 1) % 6] for i in range(6)])
    ScoreRecommender(catalog, Popularity().fit(train, 6)).save(tmp_path / "priced")
    arguments = ["recommend", tmp_path / "priced", "--history", "item-0", "--json", "--store", tmp_path]
    for quiet in ([], ["-q"]):
        status, out, err = lexirec(*quiet, *arguments, "--deny", "price>10", "--deny", "title~vase")
        assert (status, [each["item_id"] for each in json.loads(out)]) == (0, ["item-3"])
        (line,) = err.splitlines()
        assert (
            "deny 'price>10': 2 of 6 items have a 'price' that is no number, such as 'call us'; they are left" in line
        )
    assert lexirec(*arguments, "--deny", "title~vase")[2] == ""
    status, out, err = lexirec(*arguments, "--deny", "price>soon")
    assert (status, out, len(err.splitlines())) == (1, "", 1)


def test_recommend_by_lists_boosts_and_quotas(lexirec, tmp_path):
    catalog = tiny_catalog(8)
    brands = pa.array(["Acme", "acme", "Zed", "Zed", None, "a:1", "Zed", "Bo"])
    catalog = Catalog(catalog.table.append_column("brand", brands), ("title",))
    train = Sequences.from_lists([list(range(first, 8)) for first in range(8)])  # a greater number is more popular
    ScoreRecommender(catalog, Popularity().fit(train, 8)).save(tmp_path / "shop")
    arguments = ["recommend", tmp_path / "shop", "--json", "--store", tmp_path]

    def listed(*options: object) -> list[int]:
        status, out, err = lexirec(*arguments, *options)
        assert (status, err) == (0, "")
        return [int(each["item_id"].removeprefix("item-")) for each in json.loads(out)]

    assert listed("-k", 3) == [7, 6, 5]
    assert listed("--allow-item", "item-2", "--allow-item", "item-7", "--deny-item", "item-7") == [2]
    assert listed("--candidate", "item-0", "--candidate", "item-6", "--candidate", "item-3") == [6, 3, 0]
    assert listed("--boost", "5:brand=acme", "-k", 3) == [1, 0, 7]
    assert listed("--boost", "-5:brand=zed", "--boost", "9:brand=a:1") == [5, 7, 4, 1, 0, 6, 3, 2]
    assert listed("--at-most", "brand=1") == [7, 6, 5, 4, 1]
    assert listed("--at-most", "brand=1", "--boost", "5:item_id=item-2", "-k", 3) == [2, 7, 5]
    status, out, err = lexirec(*arguments, "--candidate", "item-1", "--candidate", "no-1", "--candidate", "no-2")
    assert (status, [each["item_id"] for each in json.loads(out)]) == (0, ["item-1"])
    assert "candidates: no item has these 2 ids, which are ignored: 'no-1', 'no-2'" in err
    assert json.loads(lexirec(*arguments, "--candidate", "no-1")[1]) == []
    for option, value, message in (
        ("--boost", "brand=acme:5", "cannot be parsed; write WEIGHT:FILTER, such as 0.7:stock>0"),
        ("--boost", "11:brand=acme", "the weight is 11.0; it should be a number from -10 to 10"),
        ("--boost", "1:brnd=acme", "Did you mean 'brand'?"),
        ("--at-most", "brand<2", "cannot be parsed; write FIELD=COUNT, such as brand=2"),
        ("--at-most", "brand=0", "the number should be a whole one of at least 1"),
    ):
        status, out, err = lexirec(*arguments, option, value)
        assert (status, out, len(err.splitlines())) == (1, "", 1)
        assert message in err


def test_evaluate_prints_one_object(lexirec, store):
    status, out, _ = lexirec("evaluate", "small", "--json", "--store", store, "--with", "memory")
    found = json.loads(out)
    assert status == 0
    assert {"recall@10", "ndcg@10"} <= set(found["metrics"])
    assert found["invalid"] == 0
    assert found["protocol"]["cases"] == 120
    other = json.loads(
        lexirec("evaluate", "small", "--json", "--seen", "included", "--with", "memory", "--store", store)[1]
    )
    assert other["protocol"] != found["protocol"]


def test_evaluate_another_fold(lexirec, store):
    status, out, _ = lexirec("evaluate", "small", "--fold", "validation", "--store", store)
    assert status == 0
    assert "validation" in out


def test_compare(lexirec, store):
    small, done = small_run()
    record(small, "again", experiment(), list(done.stages.values()))
    status, out, _ = lexirec("compare", "small", "again", "--store", store)
    assert status == 0
    stored, compared = out.split("ndcg@10 compared with small: ")
    assert "small: memory" in stored
    assert "again" not in stored.split("system")[1], "what is the same artifact stands there once"
    assert re.search(r"again: .*\bopen\b", compared), "it does not differ from itself"


def test_compare_within_slices(lexirec, store):
    arguments = [
        "compare",
        "small:memory",
        "small:popularity",
        "--by",
        "transition",
        "--by",
        "rarity",
        "--store",
        store,
    ]
    status, out, _ = lexirec(*arguments)
    assert status == 0
    assert "ndcg@10 by transition, compared with small: memory" in out
    found = json.loads(lexirec(*arguments, "--json")[1])
    assert [each["kind"] for each in found["slices"]] == ["transition", "rarity"]
    assert {row["system"] for row in found["slices"][0]["rows"]} == {"small: popularity"}


def test_an_audit_is_written_as_a_page(lexirec, store, tmp_path):
    page = tmp_path / "pages" / "audit.html"
    status, out, _ = lexirec("audit", "small", "--fail-on", "never", "--html", page, "--store", store)
    assert status == 0
    assert "can counting solve these data?" in out
    assert "Can counting solve these data?" in page.read_text(encoding="utf-8")


def test_compare_the_recommenders_of_one_experiment_for_machines(lexirec, store, tmp_path):
    arguments = ["compare", "small", "--baseline", "memory", "--metric", "recall@10", "--seen", "included", "--json"]
    status, out, err = lexirec(*arguments, "--figure", tmp_path / "forest.png", "--store", store)
    found = json.loads(out)
    assert status == 0
    assert (found["metric"], found["baseline"], found["seen"]) == ("recall@10", "memory", "included")
    assert {row["system"] for row in found["systems"]} == {"popularity", "transitions", "memory", "sasrec"}
    assert (tmp_path / "forest.png").is_file()
    assert (tmp_path / "forest.svg").is_file()
    assert "forest.png" in err


def test_compare_one_recommender_of_several_experiments(lexirec, store):
    small, done = small_run()
    record(small, "again", experiment(), list(done.stages.values()))
    out = lexirec("compare", "a=small", "b=again:popularity", "--of", "memory", "--store", store)[1]
    assert out.startswith("ndcg@10 compared with a")
    assert "b" in out


def test_table_makes_the_folder_of_its_file(lexirec, store, tmp_path):
    arguments = ["table", "small:memory", "small:popularity", "--metric", "ndcg@10", "--store", store]
    assert lexirec(*arguments, "--out", tmp_path / "new" / "results.md")[0] == 0
    assert "| memory |" in (tmp_path / "new" / "results.md").read_text(encoding="utf-8").replace("small: ", "")
    status, _, err = lexirec(*arguments, "--out", tmp_path)
    assert status == 1
    assert err == f"lexirec: --out {tmp_path}: it is a folder; choose another path\n"


def test_analyze(lexirec, store, tmp_path):
    arguments = ["analyze", "small:memory", "best=small:sasrec", "-k", 5, "--by", "memorisation", "--store", store]
    status, out, err = lexirec(*arguments, "--figure", tmp_path / "figures")
    assert status == 0
    assert "recall@5/NDCG@5 by memorisation" in out
    assert "best" in out
    assert "beyond-accuracy.png" in err
    assert (tmp_path / "figures" / "by-memorisation.svg").is_file()
    found = json.loads(lexirec(*arguments, "--json", "--seen", "included")[1])
    assert (found["seen"], list(found["slices"])) == ("included", ["memorisation"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "smal"], r"has no finished experiment 'smal'; .*Did you mean 'small'\?"),
        (["show", "small", "code"], r"small has no stage 'code'; .*Did you mean 'codes'\?"),
        (["recommend", "small", "--history", "toy-1"], "Item 'toy-1' is not in the catalog of 100 items"),
        (["recommend", "small", "--history", "toy-00001", "--with", "memry"], r"Did you mean 'memory'\?"),
        (["recommend", "small", "--history", "toy-00001", "--deny", "brnd=x"], r"Did you mean 'brand'\?"),
        (["run", "nowhere.toml"], r"there is no settings file nowhere\.toml"),
        (["compare", "small:memory", "small:memry"], r"Did you mean 'memory'\?"),
        (["compare", "small:memory", "small", "--metric", "ndcg"], "must have the form ndcg@10, recall@5 or mrr@20"),
        (["analyze", "small", "--by", "histroy"], r"Did you mean 'history'\?"),
        (["import", "grm", "a", "b"], r"There is no format 'grm'; .*Did you mean 'gram'\?"),
        (["fetch", "movielens/1mm", "somewhere"], r"Did you mean '1m'\?"),
    ],
)
def test_mistakes_are_one_line_and_status_1(lexirec, store, arguments, message):
    status, out, err = lexirec(*arguments, *(["--store", store] if arguments[0] not in ("import", "fetch") else []))
    assert (status, out) == (1, "")
    assert re.fullmatch(rf"lexirec: .*{message}.*\n", err)


def test_wrong_settings_are_one_line(lexirec, file, tmp_path):
    status, _, err = lexirec("run", file, "--set", "evaluation.kss=3", "--store", tmp_path / "store")
    assert status == 1
    assert err == (
        "lexirec: --set evaluation.kss=3: there is no setting 'evaluation.kss'. Did you mean 'evaluation.ks'?\n"
    )


def test_a_full_disk_is_one_line(lexirec, file, tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "/somewhere")

    monkeypatch.setattr("lexirec.pipeline.run.run_experiment", full)
    status, _, err = lexirec("run", file, "--store", tmp_path)
    assert status == 1
    assert err == "lexirec: /somewhere: No space left on device; free space or choose another path\n"


def test_an_interruption_says_how_to_go_on(lexirec, file, tmp_path, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lexirec.pipeline.run.run_experiment", interrupted)
    status, _, err = lexirec("run", file, "--store", tmp_path)
    assert status == 130
    assert "run the same command again to resume" in err


def test_a_damaged_manifest_is_found_by_verify(lexirec, file, tmp_path):
    lexirec("run", file, "--store", tmp_path, "--until", "data")
    next(tmp_path.glob("data/*/manifest.json")).write_text("{")
    status, out, _ = lexirec("verify", "--store", tmp_path)
    assert status == 1
    assert "manifest.json is damaged" in out.replace("\n", "")


def test_init_asks_for_the_format_of_times_and_takes_it(lexirec, tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title\nA1,Iron pan\nA2,Spatula\nA3,Kettle\n")
    rows = [f"{user},A{n},0{n}/0{n + 1}/2019" for user in ("ann", "bob") for n in (3, 2, 1)]
    (tmp_path / "events.csv").write_text("\n".join(["user_id,item_id,time", *rows]))
    command = "init", tmp_path / "items.csv", tmp_path / "events.csv", "--out", tmp_path / "mine.toml"
    status, _, error = lexirec(*command)
    assert status == 1
    assert 'set time_format = "%d/%m/%Y" or "%m/%d/%Y" (lexirec init: --time-format)' in " ".join(error.split())
    assert lexirec(*command, "--time-format", "%m/%d/%Y", "--time-zone", "Asia/Tokyo")[0] == 0
    text = (tmp_path / "mine.toml").read_text()
    assert 'time_format = "%m/%d/%Y"' in text
    assert 'time_zone = "Asia/Tokyo"' in text
    (tmp_path / "mine.toml").unlink()
    status, out, _ = lexirec(*command, "--time-column", "")
    assert status == 0
    assert "item 'A3' is the oldest and 'A1' the newest" in " ".join(out.split())


def test_init_writes_an_experiment_and_says_what_it_took_the_columns_for(lexirec, tmp_path):
    (tmp_path / "items.csv").write_text("asin,name\nA1,Iron pan\nA2,Spatula\nA3,Kettle\n")
    (tmp_path / "events.csv").write_text("user,asin\nann,A1\nann,A2\nann,A3\nbob,A2\nbob,A3\nbob,A1\n")
    tables = (tmp_path / "items.csv", tmp_path / "events.csv")
    status, out, _ = lexirec("init", *tables, "--out", tmp_path / "mine.toml")
    assert status == 0
    assert "3 items, 2 users, 6 events" in out
    assert re.search(r"title +name", out)
    assert "taken in the order of the file" in out
    assert "next: lexirec plan" in out
    found = json.loads(lexirec("init", *tables, "--out", tmp_path / "more.toml", "--family", "tsrec", "--json")[1])
    assert (found["items"], found["item_columns"]) == (3, {"item_id": "asin", "title": "name"})
    assert lexirec("plan", tmp_path / "more.toml", "--store", tmp_path / "store")[0] == 0


def test_import_writes_two_tables(lexirec, tmp_path):
    source = tmp_path / "ml"
    source.mkdir()
    (source / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,10,4,1000000000\n2,10,5,1000000001\n")
    (source / "movies.csv").write_text("movieId,title,genres\n10,Some Film (1999),Drama|War\n")
    status, out, _ = lexirec("import", "movielens", source, tmp_path / "out")
    assert status == 0
    assert "1 items, 2 users, 2 interactions" in out
    assert (tmp_path / "out" / "interactions.parquet").is_file()


@pytest.mark.parametrize("bench", ["decode", "train", "trie"])
def test_benchmarks_print_one_object(lexirec, monkeypatch, bench):
    fake = types.ModuleType(f"lexirec.workflows.benchmarks.{bench}")
    setattr(fake, f"bench_{bench}", lambda **options: {"speedup": 41.5, "identical": True, **options})
    monkeypatch.setitem(sys.modules, fake.__name__, fake)
    found = json.loads(lexirec("bench", bench, "--json")[1])
    assert found["speedup"] == 41.5
    assert found["identical"] is True
    assert "41.5" in lexirec("bench", bench)[1]


def test_logs_go_to_a_terminal_through_the_shared_console(lexirec, monkeypatch, tmp_path):
    from rich.console import Console

    console = Console(file=sys.stderr, force_terminal=True)
    monkeypatch.setattr(progress, "console", lambda: console)
    lexirec("doctor", "--store", tmp_path)
    assert [type(handler).__name__ for handler in logging.getLogger("lexirec").handlers] == ["RichHandler"]


def test_the_small_experiment_is_not_changed():
    assert experiment().name == SETTINGS["name"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_waiting_threads_sleep_soon_unless_the_user_says_otherwise(monkeypatch, given, expected):
    environment = {"PATH": "", **given}
    monkeypatch.setattr("lexirec.cli.os.environ", environment)
    cli._shorten_spinning()
    assert environment.get("GOMP_SPINCOUNT") == expected
