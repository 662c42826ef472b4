"""Export: files that can be taken away, and a dataset that goes and comes back."""

import shlex

from core.records import RunKind, RunState
from db import connect, datasets, runs
from tests.ui.pages.test_pages import opened, words_of
from ui import files
from ui.processes import Store


def names(store: Store) -> list[str]:
    with connect.read(store.engine) as conn:
        return [one.name for one in datasets.all(conn)]


def test_a_removed_dataset_is_brought_back_with_one_click(empty: Store):
    for _ in files.load_demo(empty):
        pass
    app = opened("export")

    app.button(key="remove_dataset").click().run()
    assert names(empty) == []
    assert "demo is removed" in words_of(app)

    app.button(key="restore_dataset").click().run()
    assert not app.exception
    assert names(empty) == ["demo"]
    assert app.sidebar.selectbox(key="dataset").value == "demo"
    assert "demo is removed" not in words_of(app)


def test_a_file_that_cannot_be_written_is_said_in_a_sentence(empty: Store):
    for _ in files.load_demo(empty):
        pass
    app = opened("export")
    empty.folder.mkdir(parents=True, exist_ok=True)
    (empty.folder / "exports").write_text("a file stands where the folder must be")

    app.button(key="export_data").click().run()

    assert not app.exception
    assert "cannot write" in app.error[0].value


def test_the_commands_name_their_store(empty: Store):
    for _ in files.load_demo(empty):
        pass
    app = opened("export")

    commands = [shlex.split(code.value) for code in app.code if code.value.startswith("tiebreak")]

    assert [words[3] for words in commands] == ["export-data", "remove", "clear-cache"]
    assert all(words[1] == "--store" for words in commands)


def test_cached_features_are_shown_with_their_size_and_cleared(trained: Store):
    shard = trained.feature_folder / "rules" / "tokens" / "shard.safetensors"
    shard.parent.mkdir(parents=True)
    shard.write_bytes(b"x" * 3 * 1024**2)
    app = opened("export")
    assert "3.0 MiB of tokens and features" in words_of(app)

    app.button(key="clear_cache").click().run()

    assert not app.exception
    assert not shard.exists()
    assert "0 bytes of tokens and features" in words_of(app)


def test_cache_that_a_run_may_read_is_kept(going: Store):
    shard = going.feature_folder / "shard.safetensors"
    shard.parent.mkdir(parents=True)
    shard.write_bytes(b"x")
    app = opened("export")

    app.button(key="clear_cache").click().run()

    assert "run 3 is going and may read the cache" in app.error[0].value
    assert shard.exists()


def with_run(store: Store, *, method: str) -> int:
    """A training run that ended with a checkpoint."""
    with connect.write(store.engine) as conn:
        run_id = runs.add(conn, kind=RunKind.TRAIN, config={"method": method}, device="cpu", labeler="imported")
        folder = str(store.run_folder(run_id) / "checkpoint")
        runs.finish(conn, run_id, state=RunState.FINISHED, metrics={}, checkpoint=folder, error=None)
    return run_id


def export_command(app) -> list[str]:
    return next(words for code in app.code if "export" in (words := shlex.split(code.value)))


def test_an_adapter_is_exported_as_it_is_or_merged(empty: Store):
    for _ in files.load_demo(empty):
        pass
    run_id = with_run(empty, method="lora")
    app = opened("export")
    app.text_input(key="export_folder").input("out").run()
    assert export_command(app)[3:] == ["export", str(run_id), "out"]

    app.toggle(key="export_merge").set_value(True).run()

    assert export_command(app)[3:] == ["export", str(run_id), "out", "--merge"]


def test_what_has_no_adapter_is_not_offered_to_be_merged(empty: Store):
    for _ in files.load_demo(empty):
        pass
    with_run(empty, method="full")

    app = opened("export")

    assert not app.exception
    assert not [one for one in app.toggle if one.key == "export_merge"]
