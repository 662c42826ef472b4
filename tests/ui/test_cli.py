"""The command line end to end: one small store with a trained probe, and every mistake a user can mend."""

import gzip
import json
import resource
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ui import cli
from ui.cli import app

HOUSE = Path(__file__).parents[2]
NUM_PAIRS = 60
THINGS = """
    apple bread castle desert engine forest garden hammer island jungle kettle ladder
    market needle orange pencil rabbit saddle tunnel violin window yogurt bottle camera
""".split()  # noqa: SIM905 - words read better without their quotes
ASPECTS = {
    "used for": "A {thing} is used for what people have always used a {thing} for.",
    "made of": "A {thing} is made of the materials that suit a {thing}.",
    "found": "You find a {thing} where others keep a {thing}.",
}


def tiebreak(store: Path, *arguments: object) -> Result:
    return CliRunner().invoke(app, ["--store", str(store), *map(str, arguments)])


def answer(store: Path, *arguments: object):
    """What a command prints with --json."""
    result = tiebreak(store, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def triplet(number: int) -> dict[str, str]:
    thing, other = THINGS[number % len(THINGS)], THINGS[(number + 7) % len(THINGS)]
    aspect = list(ASPECTS)[number // len(THINGS)]
    right, wrong = ASPECTS[aspect].format(thing=thing), ASPECTS[aspect].format(thing=other)
    prompt = f"Where is or what is a {thing} {aspect}?"
    return {"id": f"q{number}", "prompt": prompt, "response_chosen": right, "response_rejected": wrong}


def write_lines(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@dataclass(frozen=True)
class Workshop:
    """A store with a dataset `things` of 60 pairs labeled by `rule`, and a probe trained on it."""

    folder: Path
    store: Path
    file: Path
    imported: dict
    trained: dict


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Workshop:
    folder = tmp_path_factory.mktemp("workshop")
    store, file = folder / "store.db", write_lines(folder / "things.jsonl", [triplet(n) for n in range(NUM_PAIRS)])
    imported = answer(store, "import", file, "--labeler", "rule")
    trained = answer(store, "train", "--dataset", "things", "--set", "device=cpu", "--name", "first")
    return Workshop(folder, store, file, imported, trained)


@pytest.fixture
def store(tmp_path) -> Path:
    """A store with three pairs, to which a command may do what it likes."""
    path = tmp_path / "store.db"
    answer(path, "import", write_lines(tmp_path / "few.jsonl", [triplet(n) for n in range(3)]))
    return path


def one_sentence(result: Result) -> str:
    """The user's mistake: exit 1, and beside the store's path nothing but one line."""
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    said = [line for line in result.stderr.splitlines() if line.strip() and not line.startswith("store: ")]
    assert len(said) == 1, said
    return said[0].removeprefix("tiebreak: ")


# The loop


def test_import_says_what_it_read_and_added(workshop):
    expected = {"dataset": "things", "read": NUM_PAIRS, "added": NUM_PAIRS, "duplicates": 0, "identical": 0}

    assert workshop.imported | expected == workshop.imported
    assert {"conflicts", "skipped"} <= workshop.imported.keys()


def test_dry_run_counts_and_writes_nothing(tmp_path):
    file = write_lines(tmp_path / "few.jsonl", [triplet(n) for n in range(3)])

    counted = answer(tmp_path / "store.db", "import", file, "--dry-run")

    assert counted["read"] == 3
    assert answer(tmp_path / "store.db", "datasets") == []


def test_same_file_twice_adds_nothing(store, tmp_path):
    again = answer(store, "import", tmp_path / "few.jsonl")

    assert again["added"] == 0
    assert [row["pairs"] for row in answer(store, "datasets")] == [3]


def test_labels_added_to_pairs_that_were_there_are_counted_and_said(store, tmp_path):
    file = write_lines(tmp_path / "few.jsonl", [triplet(n) for n in range(4)])  # three are there, by `imported`

    would, done = (
        tiebreak(store, "import", file, "--labeler", "second", *options).stdout for options in (["--dry-run"], [])
    )

    assert "1 pair would be added to few. 3 already there would get another label." in " ".join(would.split())
    assert "1 pair added to few. 3 already there got another label." in " ".join(done.split())
    counts = answer(store, "import", file, "--labeler", "third")
    assert (counts["read"], counts["added"], counts["relabeled"], counts["duplicates"]) == (4, 0, 4, 0)


def test_opposite_lines_are_one_pair_in_conflict(tmp_path):
    row = triplet(0)
    opposite = row | {"response_chosen": row["response_rejected"], "response_rejected": row["response_chosen"]}
    del row["id"], opposite["id"]

    counts = answer(tmp_path / "store.db", "import", write_lines(tmp_path / "both.jsonl", [row, opposite]))

    assert (counts["added"], counts["conflicts"]) == (1, 1)


def test_skip_bad_keeps_the_good_rows_and_counts_the_rest(tmp_path):
    file = write_lines(tmp_path / "mixed.jsonl", [triplet(0), triplet(1) | {"response_chosen": ""}])

    counts = answer(tmp_path / "store.db", "import", file, "--skip-bad")

    assert (counts["added"], counts["skipped"]) == (1, 1)


def test_any_columns_are_mapped_by_name(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("question,best,worse\nWhy?,Because.,No idea.\n", encoding="utf-8")

    mapping = "prompt=question,response_chosen=best,response_rejected=worse"
    counts = answer(tmp_path / "store.db", "import", file, "--map", mapping)

    assert counts["added"] == 1


def test_names_are_shown_as_they_are_and_never_as_markup(tmp_path):
    file = write_lines(tmp_path / "in.jsonl", [triplet(0) | {"id": "[/bar]"}])
    answer(tmp_path / "store.db", "import", file, "--dataset", "[/foo]", "--labeler", "[red]judge")

    assert "[/foo]" in tiebreak(tmp_path / "store.db", "datasets").stdout
    assert "[red]judge" in tiebreak(tmp_path / "store.db", "labelers").stdout


@pytest.mark.slow
def test_an_interrupted_import_says_that_nothing_was_imported(tmp_path):
    prompts = [triplet(0) | {"id": str(number), "prompt": f"Number {number}?"} for number in range(100_000)]
    file, store = write_lines(tmp_path / "many.jsonl", prompts), tmp_path / "store.db"
    command = [sys.executable, "-m", "ui.cli", "--store", str(store), "import", str(file)]
    process = subprocess.Popen(command, cwd=HOUSE, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while process.poll() is None and not has_pairs(store):
        time.sleep(0.05)

    process.send_signal(signal.SIGINT)
    _, said = process.communicate()

    assert process.returncode == 130, said
    assert said.splitlines()[1:] == ["tiebreak: interrupted; nothing was imported"]
    assert answer(store, "datasets") == []


def has_pairs(store: Path) -> bool:
    if not store.exists():
        return False
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as conn:
        made = conn.execute("SELECT count(*) FROM sqlite_master WHERE name = 'pairs'").fetchone()[0]
        return bool(made and conn.execute("SELECT EXISTS (SELECT 1 FROM pairs)").fetchone()[0])


def test_datasets_and_labelers_tell_what_is_there(workshop):
    assert {"name": "things", "pairs": NUM_PAIRS} in answer(workshop.store, "datasets")
    (labeler,) = answer(workshop.store, "labelers", "--dataset", "things")
    assert (labeler["name"], labeler["kind"], labeler["labels"]) == ("rule", "ai", NUM_PAIRS)


def test_train_publishes_a_checkpoint_and_measures_held_out_pairs(workshop):
    trained = workshop.trained

    assert trained["state"] == "finished"
    assert Path(trained["checkpoint"]).is_dir()
    assert 0 <= trained["accuracy"]["value"] <= 1
    assert trained["against"] == "rule"


def test_evaluate_repeats_the_numbers_of_the_run(workshop):
    evaluated = answer(workshop.store, "evaluate", workshop.trained["run"])

    assert evaluated["state"] == "finished"
    assert evaluated["accuracy"]["value"] == pytest.approx(workshop.trained["accuracy"]["value"])
    assert evaluated["nll"] == pytest.approx(workshop.trained["nll"], rel=1e-4)


def test_score_writes_every_row_under_its_id_and_swapping_negates(workshop, tmp_path):
    asked = [triplet(n) for n in (0, 1)]
    rows = [
        {"id": t["id"], "prompt": t["prompt"], "response_a": t["response_chosen"], "response_b": t["response_rejected"]}
        for t in asked
    ]
    swapped = [
        row | {"id": row["id"] + "-swapped", "response_a": row["response_b"], "response_b": row["response_a"]}
        for row in rows
    ]
    single = {"id": "one", "prompt": asked[0]["prompt"], "response": asked[0]["response_chosen"]}
    out = tmp_path / "out.jsonl"

    answer(
        workshop.store,
        "score",
        workshop.trained["run"],
        write_lines(tmp_path / "in.jsonl", [*rows, *swapped, single]),
        "-o",
        out,
    )

    first, second, first_swapped, second_swapped, alone = lines_of(out)
    assert [line["id"] for line in (first, second, first_swapped, alone)] == ["q0", "q1", "q0-swapped", "one"]
    for line, mirror in ((first, first_swapped), (second, second_swapped)):
        assert line["reward_a"] == pytest.approx(mirror["reward_b"], abs=1e-5)
        assert line["p_a"] == pytest.approx(1 - mirror["p_a"], abs=1e-5)
    assert alone["reward"] == pytest.approx(first["reward_a"], abs=1e-5)


@pytest.fixture(scope="module")
def ranked(workshop) -> list[dict]:
    out = workshop.folder / "doubts.jsonl"
    answer(workshop.store, "triage", "--dataset", "things", "-o", out)
    return lines_of(out)


def test_triage_ranks_every_pair_once_the_most_doubtful_first(ranked):
    assert sorted(line["id"] for line in ranked) == sorted(f"q{n}" for n in range(NUM_PAIRS))
    assert [line["rank"] for line in ranked] == list(range(1, NUM_PAIRS + 1))
    doubts = [line["doubt"] for line in ranked]
    assert doubts == sorted(doubts, reverse=True)
    assert all(0 <= doubt <= 1 for doubt in doubts)


def test_triage_speaks_of_the_chosen_response_as_a(ranked):
    assert {(line["side"], line["label_p_a"]) for line in ranked} == {("a", 1.0)}


def test_triage_again_uses_the_crossfit_that_is_there(workshop, ranked):
    before = answer(workshop.store, "runs")

    top = answer(workshop.store, "triage", "--dataset", "things", "--top", "5")["pairs"]

    assert [line["id"] for line in top] == [line["id"] for line in ranked[:5]]
    assert len(answer(workshop.store, "runs")) == len(before)


def test_runs_and_show_tell_the_same(workshop):
    run = workshop.trained["run"]
    (listed,) = [found for found in answer(workshop.store, "runs") if found["run"] == run]

    shown = answer(workshop.store, "show", run)

    assert shown == listed
    assert {
        "run",
        "kind",
        "state",
        "pid",
        "config",
        "snapshot",
        "progress",
        "metrics",
        "checkpoint",
        "error",
    } <= shown.keys()
    assert (shown["kind"], shown["state"], shown["name"], shown["error"]) == ("train", "finished", "first", None)


@pytest.mark.slow
def test_a_stopped_run_keeps_a_usable_checkpoint(workshop, tmp_path):
    long = (
        "--method",
        "lora",
        "--set",
        "epochs=500",
        "--set",
        "patience=0",
        "--set",
        "device=cpu",
        "--set",
        "max_tokens=32",
    )
    run = answer(workshop.store, "train", "--dataset", "things", *long, "--detach")["run"]
    wait_until(workshop.store, run, lambda found: found["state"] == "running" and (found["progress"] or 0) > 0)

    asked = answer(workshop.store, "stop", run)

    assert asked["state"] in {"stopping", "stopped"}
    stopped = wait_until(workshop.store, run, lambda found: found["state"] not in {"running", "stopping"})
    assert (stopped["state"], stopped["error"]) == ("stopped", None)
    single = write_lines(tmp_path / "in.jsonl", [{"id": "one", "prompt": "Why?", "response": "Because."}])
    assert answer(workshop.store, "score", run, single, "-o", tmp_path / "out.jsonl")["state"] == "finished"


def wait_until(store: Path, run: int, is_reached: Callable[[dict], bool]) -> dict:
    for _ in range(2000):
        found = answer(store, "show", run)
        if is_reached(found):
            return found
        assert found["state"] != "failed", found["error"]
    raise AssertionError(f"run {run} is still {found['state']} at {found['progress_text']}")


def test_exported_data_imports_into_another_store_unchanged(workshop, tmp_path):
    out = tmp_path / "things-out.jsonl"

    assert answer(workshop.store, "export-data", "--dataset", "things", out)["rows"] == NUM_PAIRS

    rows = lines_of(out)
    assert [row["id"] for row in rows] == [f"q{n}" for n in range(NUM_PAIRS)]
    assert [row["response_a"] for row in rows] == [triplet(n)["response_chosen"] for n in range(NUM_PAIRS)]
    again = answer(tmp_path / "other.db", "import", out, "--dataset", "things")
    assert again["added"] == NUM_PAIRS
    (labeler,) = answer(tmp_path / "other.db", "labelers")
    assert (labeler["name"], labeler["labels"]) == ("rule", NUM_PAIRS)


def test_removed_dataset_is_gone_and_comes_back_by_import(store, tmp_path):
    answer(store, "remove", "--dataset", "few")
    assert answer(store, "datasets") == []

    answer(store, "import", tmp_path / "few.jsonl")

    assert [row["pairs"] for row in answer(store, "datasets")] == [3]


def test_a_removal_can_be_undone(store):
    answer(store, "remove", "--dataset", "few")

    answer(store, "remove", "--dataset", "few", "--undo")

    assert [row["pairs"] for row in answer(store, "datasets")] == [3]
    assert "no removed dataset 'few'" in one_sentence(tiebreak(store, "remove", "--dataset", "few", "--undo"))
    assert "--purge" in one_sentence(tiebreak(store, "remove", "--dataset", "few", "--undo", "--purge"))


def test_purge_says_how_many_texts_it_erased(store):
    assert answer(store, "remove", "--dataset", "few", "--purge", "--yes")["purged"] == 3


def test_cache_is_shown_with_its_size_and_cleared(store, tmp_path):
    shard = tmp_path / "store-files" / "features" / "rules" / "tokens" / "shard.safetensors"
    shard.parent.mkdir(parents=True)
    shard.write_bytes(b"x" * 1536)
    assert answer(store, "doctor")["feature cache"]["value"].startswith("1.5 KiB in ")

    assert answer(store, "clear-cache") == {"freed_bytes": 1536}

    assert not shard.exists()
    assert answer(store, "clear-cache") == {"freed_bytes": 0}


def test_doctor_finds_the_store_sound(workshop):
    checks = answer(workshop.store, "doctor")

    assert checks["integrity"] == {"ok": True, "value": "ok"}
    assert checks["store"]["value"] == str(workshop.store)


def test_preflight_lists_findings_fails_first(workshop):
    found = answer(workshop.store, "preflight", "--dataset", "things", "--max-tokens", 16)

    assert found["state"] == "finished"
    assert found["num_pairs"] == NUM_PAIRS
    keys = {"check", "level", "sentence", "what_to_do", "numbers", "slices"}
    assert all(one.keys() == keys for one in found["findings"])
    levels = [one["level"] for one in found["findings"]]
    assert levels == sorted(levels, key=["fail", "warn", "pass"].index)
    by_check = {one["check"]: one for one in found["findings"]}
    # Every pair has more than 16 tokens with its prompt: 7 words of a prompt and 7 and more of a response.
    assert by_check["trimmed"]["numbers"] == {"trimmed": NUM_PAIRS}
    assert by_check["labels"]["numbers"] == {"labeled": NUM_PAIRS, "unlabeled": 0}


def test_preflight_says_what_stands_in_the_way_and_exits_with_1(tmp_path):
    store = tmp_path / "store.db"
    rows = [{"prompt": f"{n}?", "response_a": f"Yes {n}.", "response_b": f"No {n}."} for n in range(3)]
    answer(store, "import", write_lines(tmp_path / "bare.jsonl", rows))

    result = tiebreak(store, "preflight", "--dataset", "bare")

    assert one_sentence(result) == "preflight failed 1 check (labels); mend it before you train"
    lines = result.stdout.splitlines()
    assert lines[0].startswith("fail  labels")
    assert "None of the 3 pairs has a label" in lines[0]
    # The texts are looked at all the same.
    assert any(line.startswith("pass  pooled_token") for line in lines)
    assert lines[-1].startswith("1 fail, ")


def test_preflight_takes_the_labeler_that_training_would(workshop):
    assert "no labeler 'nobody'" in one_sentence(
        tiebreak(workshop.store, "preflight", "--dataset", "things", "--labeler", "nobody")
    )


def test_without_json_a_person_reads_words(workshop):
    for command in (["datasets"], ["labelers"], ["runs"], ["show", workshop.trained["run"]], ["doctor"]):
        result = tiebreak(workshop.store, *command)
        assert result.exit_code == 0, result.output
        assert result.stdout.strip()


# Mistakes that a user can mend


def nothing(path: Path) -> None:
    """No file."""


def empty(path: Path) -> None:
    path.touch()


def directory(path: Path) -> None:
    path.mkdir()


def not_utf8(path: Path) -> None:
    path.write_bytes(json.dumps(triplet(0)).encode().replace(b"apple", b"caf\xe9"))


def broken_gzip(path: Path) -> None:
    packed = gzip.compress(json.dumps(triplet(0)).encode() * 100)
    path.write_bytes(packed[: len(packed) // 2])


def not_a_number(path: Path) -> None:
    path.write_text(json.dumps(triplet(0) | {"strength": float("nan")}), encoding="utf-8")


def missing_column(path: Path) -> None:
    row = triplet(0)
    del row["response_rejected"]
    write_lines(path, [row])


def empty_response(path: Path) -> None:
    write_lines(path, [triplet(0), triplet(1) | {"response_chosen": ""}])


def only_identical(path: Path) -> None:
    write_lines(path, [triplet(n) | {"response_chosen": "Same.", "response_rejected": "Same."} for n in range(3)])


def five_megabytes(path: Path) -> None:
    write_lines(path, [triplet(0) | {"response_chosen": "word " * 1_000_000}])


BAD_FILES: list[tuple[Callable[[Path], None], str, str]] = [
    (nothing, "in.jsonl", "does not exist"),
    (empty, "in.jsonl", "empty"),
    (directory, "in.jsonl", "directory"),
    (not_utf8, "in.jsonl", "UTF-8"),
    (broken_gzip, "in.jsonl.gz", "gzip"),
    (not_a_number, "in.jsonl", "NaN"),
    (missing_column, "in.jsonl", "response_rejected"),
    (empty_response, "in.jsonl", "empty"),
    (only_identical, "in.jsonl", "identical"),
    (five_megabytes, "in.jsonl", "1,000,000"),
]


@pytest.mark.parametrize(("make", "name", "word"), BAD_FILES, ids=[make.__name__ for make, _, _ in BAD_FILES])
def test_bad_file_is_refused_in_one_sentence_and_changes_nothing(store, tmp_path, make, name, word):
    make(tmp_path / name)
    before = answer(store, "datasets")

    said = one_sentence(tiebreak(store, "import", tmp_path / name, "--dataset", "few"))

    assert word in said
    assert name in said
    assert answer(store, "datasets") == before


def test_bad_row_is_named_by_its_line(store, tmp_path):
    empty_response(tmp_path / "in.jsonl")

    said = one_sentence(tiebreak(store, "import", tmp_path / "in.jsonl"))

    assert "in.jsonl:2" in said or "line 2" in said
    assert "--skip-bad" in said


@pytest.mark.parametrize(("make", "name", "word"), BAD_FILES[:3], ids=["nothing", "empty", "directory"])
def test_bad_file_to_score_is_refused_before_a_run_starts(workshop, tmp_path, make, name, word):
    make(tmp_path / name)
    before = answer(workshop.store, "runs")

    said = one_sentence(
        tiebreak(workshop.store, "score", workshop.trained["run"], tmp_path / name, "-o", tmp_path / "out")
    )

    assert word in said
    assert answer(workshop.store, "runs") == before


@pytest.mark.parametrize(
    "command",
    [
        ["show", 999],
        ["show", 10**30 - 1],
        ["stop", 999],
        ["evaluate", 999],
        ["compare", 999, 1],
        ["export", 999, "folder"],
        ["triage", "--dataset", "few", "--run", 999],
    ],
    ids=lambda command: command[0],
)
def test_a_run_that_does_not_exist_is_named(store, command):
    assert "999" in one_sentence(tiebreak(store, *command))


@pytest.mark.parametrize(
    "command",
    [
        ["train", "--dataset", "nope"],
        ["preflight", "--dataset", "nope"],
        ["triage", "--dataset", "nope"],
        ["labelers", "--dataset", "nope"],
        ["remove", "--dataset", "nope"],
        ["export-data", "out.jsonl", "--dataset", "nope"],
    ],
    ids=lambda command: command[0],
)
def test_a_dataset_that_does_not_exist_is_named_beside_those_that_do(store, command):
    said = one_sentence(tiebreak(store, *command))

    assert "nope" in said
    assert "few" in said


def test_several_labelers_are_listed_the_most_frequent_first(store, tmp_path):
    answer(
        store, "import", write_lines(tmp_path / "more.jsonl", [triplet(0)]), "--dataset", "few", "--labeler", "second"
    )

    said = one_sentence(tiebreak(store, "train", "--dataset", "few"))

    assert 0 < said.index("imported") < said.index("second")


def test_an_unknown_labeler_is_named(store):
    assert "nobody" in one_sentence(tiebreak(store, "train", "--dataset", "few", "--labeler", "nobody"))


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        (["--set", "speed=9"], "speed"),
        (["--set", "epochs=0"], "epochs"),
        (["--set", "epochs"], "key=value"),
        (["--set", "device=cuda:77"], "cuda:77"),
        (["--config", "missing.toml"], "missing.toml"),
        (["--config", "."], "config file . cannot be read: Is a directory"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else value,
)
def test_a_wrong_setting_is_named_and_starts_no_run(store, settings, word):
    assert word in one_sentence(tiebreak(store, "train", "--dataset", "few", *settings))
    assert answer(store, "runs") == []


@pytest.mark.parametrize(
    ("option", "name", "why"),
    [
        ("--dataset", "", "a dataset's name must not be blank"),
        ("--dataset", " ", "a dataset's name must not be blank"),
        ("--dataset", "caf\udce9", "half a surrogate pair"),
        ("--labeler", "", "a labeler's name must not be blank"),
        ("--labeler", "caf\udce9", "half a surrogate pair"),
        ("--labeler", "verdicts", "a labeler cannot be named 'verdicts'"),
        ("--labeler", "people", "a labeler cannot be named 'people'"),
    ],
)
def test_a_name_that_nobody_can_have_is_refused(store, tmp_path, option, name, why):
    assert why in one_sentence(tiebreak(store, "import", tmp_path / "few.jsonl", option, name))
    assert [row["name"] for row in answer(store, "datasets")] == ["few"]


def test_a_labeler_that_cannot_be_named_so_is_a_bad_row(store, tmp_path):
    labels = [{"labeler": "ai", "preference": "a"}]
    row = {"prompt": "Why?", "response_a": "So.", "response_b": "No.", "labels": labels}
    file = write_lines(tmp_path / "in.jsonl", [row | {"labels": []}, row])

    said = one_sentence(tiebreak(store, "import", file))

    assert "line 2: a labeler cannot be named 'ai'" in said
    assert answer(store, "import", file, "--skip-bad")["skipped"] == 1


def test_a_file_whose_name_is_no_text_is_imported_under_a_name_that_is(store, tmp_path):
    file = write_lines(tmp_path / "caf\udce9.jsonl", [triplet(5)])

    assert answer(store, "import", file, "--dataset", "coffee")["added"] == 1


def test_the_way_back_from_a_removal_can_be_pasted_as_it_is(tmp_path):
    store, file = tmp_path / "a store.db", write_lines(tmp_path / "few.jsonl", [triplet(0)])
    answer(store, "import", file, "--dataset", "it's mine")

    hint = tiebreak(store, "remove", "--dataset", "it's mine").stdout.split("`")[1]

    assert CliRunner().invoke(app, shlex.split(hint)[1:]).exit_code == 0
    assert [row["name"] for row in answer(store, "datasets")] == ["it's mine"]


@pytest.mark.parametrize(("line", "word"), [('method = "dpo"', "'dpo'"), ("backbone = []", "backbone must be text")])
def test_method_and_backbone_of_a_config_file_hold(store, tmp_path, line, word):
    (tmp_path / "c.toml").write_text(line)

    assert word in one_sentence(tiebreak(store, "train", "--dataset", "few", "--config", tmp_path / "c.toml"))


def test_options_overrule_a_config_file_and_set_overrules_both(tmp_path):
    (tmp_path / "c.toml").write_text('method = "lora"\nbackbone = "of/file"\nepochs = 2\nseed = 5')

    settings = cli.training_settings(tmp_path / "c.toml", backbone="of/option", method=None, texts=["epochs=3"])

    assert settings == {"method": "lora", "backbone": "of/option", "epochs": "3", "seed": 5}


@pytest.mark.slow
def test_an_unknown_backbone_while_offline_fails_its_run_in_one_sentence(store, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    said = one_sentence(
        tiebreak(store, "train", "--dataset", "few", "--backbone", "nobody/no-such-model", "--set", "device=cpu")
    )

    assert "nobody/no-such-model" in said
    (run,) = answer(store, "runs")
    assert (run["state"], run["checkpoint"]) == ("failed", None)


def test_an_unproven_run_has_no_checkpoint_to_score_with(workshop, ranked, tmp_path):
    crossfit = next(run["run"] for run in answer(workshop.store, "runs") if run["kind"] == "crossfit")

    said = one_sentence(tiebreak(workshop.store, "export", crossfit, tmp_path / "folder"))

    assert "no checkpoint" in said


def test_an_export_says_what_there_was_to_merge(workshop, tmp_path):
    result = tiebreak(workshop.store, "export", workshop.trained["run"], tmp_path / "copy", "--merge")

    assert result.exit_code == 0, result.output
    assert f"exported to {tmp_path / 'copy'}; its weights were merged already" in " ".join(result.output.split())
    assert (tmp_path / "copy" / "modules.json").exists()


def test_four_bits_without_their_package_are_refused_before_a_run_is_queued(workshop, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # as Python marks what cannot be imported
    before = answer(workshop.store, "runs")

    settings = ["--method", "lora", "--set", "quantise=4bit"]
    said = one_sentence(tiebreak(workshop.store, "train", "--dataset", "things", *settings))

    assert "pip install 'tiebreak[quant]'" in said
    assert answer(workshop.store, "runs") == before


def test_what_a_run_would_refuse_late_is_refused_before_it_starts(workshop, tmp_path):
    run = workshop.trained["run"]
    full = write_lines(tmp_path / "full" / "in.jsonl", [triplet(0)])
    before = answer(workshop.store, "runs")

    for command, why in [
        (["preflight", "--dataset", "things", "--max-tokens", 3], "max_tokens must be at least 16, got 3"),
        (["score", run, full, "-o", tmp_path], "is a directory; name a file to write"),
        (["score", run, full, "-o", full / "out"], "is not a directory"),
        (["export", run, full.parent], "is there and not empty"),
        (["export", run, full], "is there and not empty"),
        (["triage", "--dataset", "things", "-o", tmp_path], "is a directory; name a file to write"),
    ]:
        assert why in one_sentence(tiebreak(workshop.store, *command))
    assert answer(workshop.store, "runs") == before


def test_triage_refuses_a_run_without_margins(workshop):
    run = answer(workshop.store, "preflight", "--dataset", "things")["run"]

    said = one_sentence(tiebreak(workshop.store, "triage", "--dataset", "things", "--run", run))

    assert f"run {run} (a preflight run) has no margin" in said


def test_evaluate_refuses_a_dataset_that_the_runs_labeler_did_not_label(workshop, tmp_path):
    file = write_lines(tmp_path / "others.jsonl", [triplet(n) | {"prompt": f"New {n}?"} for n in range(3)])
    answer(workshop.store, "import", file, "--labeler", "someone")
    before = answer(workshop.store, "runs")

    said = one_sentence(tiebreak(workshop.store, "evaluate", workshop.trained["run"], "--dataset", "others"))

    assert "no labeler 'rule' in the dataset; it has someone" in said
    assert answer(workshop.store, "runs") == before


def test_a_finished_run_cannot_be_stopped(workshop):
    assert "finished" in one_sentence(tiebreak(workshop.store, "stop", workshop.trained["run"]))


@pytest.fixture
def locked(store) -> Iterator[Path]:
    """Another program holds the store for writing and does not let go."""
    other = sqlite3.connect(store, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield store
    other.execute("ROLLBACK")
    other.close()


@pytest.mark.slow
def test_a_locked_store_says_so_and_keeps_what_it_has(locked, tmp_path):
    file = write_lines(tmp_path / "more.jsonl", [triplet(5)])

    said = one_sentence(tiebreak(locked, "import", file, "--dataset", "few"))

    assert "lock" in said
    assert [row["pairs"] for row in answer(locked, "datasets")] == [3]


def test_a_file_that_is_no_store_is_left_alone(tmp_path):
    (tmp_path / "notes.db").write_text("not a database, but mine", encoding="utf-8")

    said = one_sentence(tiebreak(tmp_path / "notes.db", "datasets"))

    assert "notes.db" in said
    assert (tmp_path / "notes.db").read_text(encoding="utf-8") == "not a database, but mine"


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow beyond 16 MiB: room for the store, none for the weights of a checkpoint."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 * 1024**2, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.slow
def test_a_full_disk_fails_the_run_and_leaves_no_half_checkpoint(workshop, small_disk):
    result = tiebreak(workshop.store, "train", "--dataset", "things", "--set", "device=cpu", "--name", "full disk")

    one_sentence(result)
    run = next(run for run in answer(workshop.store, "runs") if run["name"] == "full disk")
    assert (run["state"], run["checkpoint"]) == ("failed", None)
    left = [path.name for path in (Path(workshop.trained["checkpoint"]).parents[1] / str(run["run"])).iterdir()]
    assert left == ["log.txt"]
    assert answer(workshop.store, "show", workshop.trained["run"])["state"] == "finished"


def test_a_process_ends_with_the_same_codes_and_takes_the_store_anywhere(store):
    def ends(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ui.cli", *arguments]
        return subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, check=False)

    fine = ends("datasets", "--json", "--store", str(store))
    mistake = ends("show", "999", f"--store={store}")
    usage = ends("show", "--store", str(store))

    assert (fine.returncode, mistake.returncode, usage.returncode) == (0, 1, 2)
    assert [row["pairs"] for row in json.loads(fine.stdout)] == [3]
    assert "Traceback" not in mistake.stderr
