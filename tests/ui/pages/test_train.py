"""Train says what there is to learn from before a run is started."""

import json
import shlex

import pytest

from core.formats import ReadOptions
from core.records import Part, RunKind
from db import connect, runs
from db.runs import Run
from tests.ui.pages.conftest import finished
from tests.ui.pages.test_pages import opened, words_of
from ui import checks, files
from ui.processes import Store


def put(store: Store, preferences: list[str], *, split: Part | None = None, name: str = "ties") -> None:
    path = store.folder.parent / f"{name}.jsonl"
    rows = [
        {"prompt": f"{i}?", "response_a": "Yes.", "response_b": "No.", "preference": preference}
        for i, preference in enumerate(preferences)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for _ in files.import_file(store, path, dataset=name, options=ReadOptions(), split=split):
        pass


def warnings_of(app) -> str:
    return " ".join(str(warning.value) for warning in app.warning)


def test_ties_are_counted_before_training(empty: Store):
    put(empty, ["tie"] * 7 + ["a"] * 33)

    assert "Among these 40: 7 ties. A tie pulls both rewards together." in words_of(opened("train"))


def test_nothing_but_ties_is_warned_of(empty: Store):
    put(empty, ["tie"] * 29)

    assert "All 29 labels are ties" in warnings_of(opened("train"))


@pytest.mark.parametrize(
    ("split", "words"), [(Part.TRAIN, "to choose the checkpoint and the temperature by or to report"), (None, None)]
)
def test_no_held_out_pair_is_warned_of(empty: Store, split: Part | None, words: str | None):
    put(empty, ["a"] * 60, split=split)

    said = warnings_of(opened("train"))

    assert (words in said) if words else said == ""


def test_the_command_carries_every_choice_and_the_store_quoted(empty: Store):
    put(empty, ["a"] * 40, name="my pairs; $HOME")
    app = opened("train")
    app.text_input(key="train_name").set_value("it's a name").run()
    app.segmented_control(key="train_method").set_value("lora").run()
    app.text_input(key="train_max_tokens").set_value("64").run()

    check, code = [code.value for code in app.code if code.value.startswith("tiebreak")]

    words = shlex.split(code)
    assert words[:2] == ["tiebreak", "--store"]
    assert words[words.index("--dataset") + 1] == "my pairs; $HOME"
    assert words[words.index("--name") + 1] == "it's a name"
    assert words[words.index("--method") + 1] == "lora"
    assert "max_tokens=64" in words
    checked = shlex.split(check)
    assert checked[3:5] == ["preflight", "--dataset"]
    assert "max_tokens=64" in checked
    assert checked[checked.index("--method") + 1] == "lora"


def last_run(store: Store) -> Run:
    with connect.read(store.engine) as conn:
        return runs.all(conn, limit=1)[0]


def test_a_click_checks_what_would_be_trained_and_shows_what_was_found(trained: Store):
    app = opened("train")
    app.text_input(key="train_max_tokens").set_value("16").run()

    app.button(key="train_check").click().run()
    assert last_run(trained).kind is RunKind.PREFLIGHT
    finished(trained, last_run(trained).id)
    app.run()

    said = words_of(app)
    assert not app.exception
    # Every pair has more than 16 tokens: 5 words of a prompt and 10 of a response, and what the backbone adds.
    assert "Trimmed. 84 of 84 pairs (100.0 %) are too long" in said.replace("**", "")
    assert "The head reads the mean over all tokens" in said
    assert any("checks passed" in expander.label for expander in app.expander)
    assert app.button(key="train_check").label == "Check again"
    assert "may not hold" not in warnings_of(app)


def test_a_check_made_before_an_import_or_with_other_settings_is_said_to_be_old(trained: Store):
    run_id = checks.start_preflight(trained, dataset="things", labeler="imported", settings={})
    finished(trained, run_id)
    assert "may not hold" not in warnings_of(opened("train"))

    app = opened("train")
    app.text_input(key="train_max_tokens").set_value("64").run()
    assert "other settings (max_tokens)" in warnings_of(app).replace("\\", "")

    put(trained, ["a"] * 3, name="things")
    assert "pairs or labels were imported since" in warnings_of(opened("train"))


def test_a_check_of_impossible_settings_says_why(trained: Store):
    app = opened("train")

    app.text_input(key="train_max_tokens").set_value("3").run()

    assert "max_tokens must be at least 16, got 3" in words_of(app)
    assert not [button for button in app.button if button.key == "train_check"]


def test_settings_that_no_check_reads_leave_it_valid(trained: Store):
    run_id = checks.start_preflight(trained, dataset="things", labeler="imported", settings={})
    finished(trained, run_id)
    app = opened("train")

    app.number_input(key="train_seed").set_value(3).run()

    assert "may not hold" not in warnings_of(app)
    assert app.button(key="train_check").label == "Check again"
