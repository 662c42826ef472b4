"""Import: what a file would add is said before it is added; a column is chosen, never spelled."""

import json
import os
import shlex
import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from db import connect, datasets
from tests.ui.pages.test_pages import opened, words_of
from ui import cli, files
from ui.processes import Store


def opened_on(file: Path) -> AppTest:
    app = opened("import")
    app.segmented_control(key="import_source").set_value("On this machine").run()
    return app.text_input(key="import_path").set_value(str(file)).run()


def uploaded(name: str, content: bytes) -> AppTest:
    app = opened("import")
    return app.file_uploader[0].set_value((name, content, "application/json")).run()


def line(prompt: str) -> str:
    return json.dumps({"prompt": prompt, "response_chosen": "Yes.", "response_rejected": "No."}) + "\n"


def uploads(store: Store) -> list[str]:
    return sorted(path.name for path in (store.folder / "uploads").rglob("*") if path.is_file())


def names(store: Store) -> list[str]:
    with connect.read(store.engine) as conn:
        return [one.name for one in datasets.all(conn)]


def command(app: AppTest) -> str:
    return next(code.value for code in app.code if code.value.startswith("tiebreak"))


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Three good lines, one of them twice, and two kinds of bad ones."""
    good = [line("One?"), line("Two?"), line("Two?")]
    file = tmp_path / "mixed.jsonl"
    file.write_text("".join([*good, "{no json\n", '{"prompt": "Three?", "response_chosen": "Yes."}\n']))
    return file


def test_what_would_be_added_and_refused_is_said_with_the_preview(empty: Store, mixed: Path):
    app = opened_on(mixed)

    said = words_of(app)
    assert "2 pairs would be added to mixed." in said
    assert "1 already there, with the same label, change nothing" in said
    assert "2 rows cannot be used" in said
    assert list(app.dataframe[0].value["line"]) == [4, 5]
    assert names(empty) == []


def test_bad_rows_are_left_out_by_a_box_and_never_by_an_option(empty: Store, mixed: Path):
    app = opened_on(mixed)
    assert app.button(key="import_start").disabled

    app.checkbox(key="import_skip_bad").check().run()
    app.button(key="import_start").click().run()

    assert not app.exception
    assert "mixed is imported\\. 2 pairs added to mixed\\." in app.success[0].value
    assert "skip-bad" not in words_of(app)
    assert names(empty) == ["mixed"]


def test_the_sidebar_shows_the_imported_dataset_at_once(trained: Store, mixed: Path):
    app = opened_on(mixed)
    app.checkbox(key="import_skip_bad").check().run()

    app.button(key="import_start").click().run()

    assert app.sidebar.selectbox(key="dataset").value == "mixed"


def test_columns_of_an_unknown_layout_are_guessed_and_chosen_in_boxes(empty: Store, tmp_path: Path):
    file = tmp_path / "cols.csv"
    file.write_text("question,good,poor\nOne?,Yes.,No.\nTwo?,Yes.,No.\n")
    app = opened_on(file)
    pickers = {box.label: box for box in app.selectbox if box.label in {"Prompt", "Better response", "Worse response"}}
    assert [(label, box.value) for label, box in pickers.items()] == [
        ("Prompt", "question"),
        ("Better response", "good"),
        ("Worse response", None),
    ]
    assert "Still to be said: worse response" in app.warning[0].value

    pickers["Worse response"].set_value("poor").run()

    assert "2 pairs would be added" in words_of(app)
    app.button(key="import_start").click().run()
    assert not app.exception
    assert names(empty) == ["cols"]


def test_the_command_does_what_the_page_would(empty: Store, tmp_path: Path):
    folder = tmp_path / "a folder; with $words"
    folder.mkdir()
    file = folder / "it's.csv"
    file.write_text("my question,good,poor\nOne?,Yes.,No.\n")
    app = opened_on(file)
    {box.label: box for box in app.selectbox}["Prompt"].set_value("my question").run()
    {box.label: box for box in app.selectbox}["Worse response"].set_value("poor").run()

    words = shlex.split(command(app))

    assert CliRunner().invoke(cli.app, words[1:]).exit_code == 0
    with connect.read(empty.engine) as conn:
        assert datasets.get(conn, "it's").num_pairs == 1


def test_an_unusable_upload_is_named_as_the_user_named_it_and_not_kept(empty: Store):
    app = uploaded("nothing.jsonl", b"")

    assert app.error[0].value == "nothing\\.jsonl is empty"
    assert uploads(empty) == []


def test_a_word_that_names_no_labeler_is_said_to_be_one(empty: Store):
    app = uploaded("one.jsonl", line("One?").encode())

    app.text_input(key="import_labeler").set_value("people").run()

    assert not app.exception
    assert "a labeler cannot be named 'people'" in app.error[0].value
    assert uploads(empty) == ["one.jsonl"]  # another name, and it goes on


def test_the_command_of_an_upload_names_the_users_file_and_not_the_copy(empty: Store):
    app = uploaded("my pairs.jsonl", line("One?").encode())

    words = shlex.split(command(app))

    assert words[words.index("import") + 1] == "my pairs.jsonl"


def test_an_upload_is_removed_when_another_replaces_it_and_when_it_is_imported(empty: Store):
    app = uploaded("one.jsonl", line("One?").encode())
    assert uploads(empty) == ["one.jsonl"]

    app.file_uploader[0].set_value(("two.jsonl", line("Two?").encode(), "application/json")).run()
    assert uploads(empty) == ["two.jsonl"]

    app.button(key="import_start").click().run()
    assert not app.exception
    assert uploads(empty) == []
    assert names(empty) == ["two"]


def test_uploads_of_closed_tabs_are_removed_when_the_app_starts_again(empty: Store):
    left = files.keep_upload(empty, "left.jsonl", b"left an hour ago")
    recent = files.keep_upload(empty, "recent.jsonl", b"another tab's")
    os.utime(left.parent, (time.time() - 7200, time.time() - 7200))

    opened("import")

    assert uploads(empty) == [recent.name]
