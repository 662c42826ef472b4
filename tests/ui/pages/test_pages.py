"""Every page in every state of a store, and what a user does on it, without a browser."""

import os
from pathlib import Path

import psutil
import pytest
from streamlit.testing.v1 import AppTest

from core.formats import ReadOptions, from_dicts
from core.records import Bucket, Decision, Order, Reward, RunKind, RunState
from db import connect, datasets, imports, pairs, rewards, runs, verdicts
from tests.ui.pages.conftest import claim_for_this_process
from ui import files, review, state, widgets
from ui.processes import Store

HOUSE = Path(__file__).parents[3]
PAGES = sorted(page.stem for page in (HOUSE / "ui" / "pages").glob("*.py"))
TIMEOUT = 30


def opened(page: str, **session: object) -> AppTest:
    app = AppTest.from_file(str(HOUSE / "streamlit_app.py"), default_timeout=TIMEOUT)
    for key, value in {"kept_reviewer": "me", **session}.items():
        app.session_state[key] = value
    app.run()
    app.switch_page(f"ui/pages/{page}.py").run()
    assert not app.exception, [error.value for error in app.exception]
    return app


def words_of(app: AppTest) -> str:
    kinds = (app.title, app.subheader, app.markdown, app.caption, app.info, app.error, app.success, app.text)
    # As they are read: without the backslashes that keep Markdown from changing them.
    return "\n".join(str(element.value) for kind in kinds for element in kind).replace("\\", "")


@pytest.mark.parametrize("page", PAGES)
def test_page_opens_on_an_empty_store_and_says_what_to_do(empty: Store, page: str):
    app = opened(page)

    assert len(words_of(app).split()) > 10
    assert app.button or app.expander or "page_link" in str(app.main) or app.info


@pytest.mark.parametrize("page", PAGES)
def test_page_opens_on_a_trained_store(trained: Store, page: str):
    opened(page)


@pytest.mark.parametrize("page", PAGES)
def test_page_opens_while_a_run_is_going_and_shows_its_progress(going: Store, page: str):
    app = opened(page)

    assert "Run 3" in words_of(app)
    stop = app.button(key="run_stop" if page == "runs" else "strip_stop_3")
    assert stop.label == "Stop and keep the best checkpoint"


@pytest.mark.parametrize("page", PAGES)
def test_page_opens_after_a_run_failed(failed: Store, page: str):
    opened(page)


@pytest.mark.parametrize("page", PAGES)
def test_page_opens_on_the_demo_pairs_before_any_run(empty: Store, page: str):
    for _ in files.load_demo(empty):
        pass

    opened(page)


def test_demo_pairs_are_one_click_away_in_an_empty_store(empty: Store):
    app = opened("overview")

    app.button(key="load_demo").click().run()

    assert not app.exception
    with connect.read(empty.engine) as conn:
        assert [one.name for one in datasets.all(conn)] == ["demo"]
    assert "Train a model" in [button.label for button in app.button]


def test_file_is_imported_by_path_after_its_first_pairs_were_shown(empty: Store, made: Path):
    app = opened("import")
    app.segmented_control(key="import_source").set_value("On this machine").run()
    app.text_input(key="import_path").set_value(str(made / "things.jsonl")).run()

    assert "How is a apple used?" in words_of(app)
    app.button(key="import_start").click().run()

    assert not app.exception
    with connect.read(empty.engine) as conn:
        assert datasets.get(conn, "things").num_pairs == 84


def test_bad_file_is_refused_in_one_sentence_on_the_page(empty: Store, tmp_path: Path):
    (tmp_path / "nothing.jsonl").write_text("")
    app = opened("import")
    app.segmented_control(key="import_source").set_value("On this machine").run()

    app.text_input(key="import_path").set_value(str(tmp_path / "nothing.jsonl")).run()

    assert len(app.error) == 1
    assert "empty" in app.error[0].value


def test_search_finds_the_pairs_that_hold_every_word(trained: Store):
    app = opened("browse")

    app.text_input(key="browse_words").set_value("kettle drawn").run()

    table = app.dataframe[0].value
    # A kettle is drawn in one pair as the subject and in another as the wrong answer.
    assert sorted(table["prompt"]) == ["How is a forest drawn?", "How is a kettle drawn?"]


def test_next_shows_the_pairs_after_and_previous_goes_back(trained: Store):
    app = opened("browse")
    first = list(app.dataframe[0].value["id"])

    second = list(app.button(key="browse_next").click().run().dataframe[0].value["id"])
    again = list(app.button(key="browse_previous").click().run().dataframe[0].value["id"])

    assert len(first) == 50
    assert len(second) == 34
    assert not set(first) & set(second)
    assert again == first


def test_one_click_queues_a_training_run(going: Store):
    app = opened("train")

    app.button(key="train_start").click().run()

    assert not app.exception
    with connect.read(going.engine) as conn:
        queued = runs.queued(conn)
    assert [(run.labeler, run.config["method"]) for run in queued] == [("imported", "probe")]


def test_wrong_setting_is_said_on_the_page_and_starts_nothing(trained: Store):
    app = opened("train")
    app.text_input(key="train_max_tokens").set_value("many").run()

    app.button(key="train_start").click().run()

    assert "max\\_tokens must be a whole number" in app.error[0].value
    with connect.read(trained.engine) as conn:
        assert len(runs.all(conn)) == 2


def test_failed_run_says_why_as_plain_text(failed: Store):
    app = opened("runs", open_run=3)

    # In a block of code, which renders nothing and can be copied as it is.
    assert "This run failed" in app.error[0].value
    assert app.code[0].value.startswith("the loss became nan; use a *smaller* learning_rate :material/home: ![x](")


def test_trained_run_shows_its_numbers_with_their_interval_and_baseline(trained: Store):
    app = opened("runs", open_run=1)

    labels = [metric.label for metric in app.metric]

    assert labels == ["Accuracy", "Log loss", "Calibration error", "Temperature"]
    assert "always the longer" in words_of(app)


def test_temperature_that_could_not_be_fitted_says_why(trained: Store):
    with connect.read(trained.engine) as conn:
        decided = runs.get(conn, 1).metrics["valid"]["accuracy"]["num_decided"]

    app = opened("runs", open_run=1)

    assert {metric.label: metric.value for metric in app.metric}["Temperature"] == "-"
    assert f"{decided} decided valid pairs; 20 are needed to fit one" in words_of(app)


def test_running_run_has_its_name_and_its_stop_once_where_it_is_shown(going: Store):
    rank_anew(going)

    app = opened("runs", open_run=3)

    assert [button.key for button in app.button if button.label.startswith("Stop")] == ["run_stop"]
    assert words_of(app).count("Run 3") == 1
    assert "strip_stop_3" in [button.key for button in opened("runs", open_run=1).button]


def test_flip_is_written_against_the_label_and_undone_by_undo(trained: Store, monkeypatch):
    monkeypatch.setattr(state, "LEAST_DWELL_SECONDS", 0.0)
    app = opened("disagreements")

    app.button(key="verdict_flip").click().run()

    assert not app.exception
    with connect.read(trained.engine) as conn:
        (written,) = verdicts.latest(conn)
    assert written.decision.value in "ab"
    assert written.decision.value != written.label_side
    app.button(key="verdict_undo").click().run()
    with connect.read(trained.engine) as conn:
        assert verdicts.latest(conn) == []


@pytest.mark.parametrize(("key", "decision"), [("tie", Decision.TIE), ("drop", Decision.DROP)])
def test_tie_and_drop_are_verdicts_of_their_own(trained: Store, monkeypatch, key: str, decision: Decision):
    monkeypatch.setattr(state, "LEAST_DWELL_SECONDS", 0.0)
    app = opened("disagreements")

    app.button(key=f"verdict_{key}").click().run()

    with connect.read(trained.engine) as conn:
        assert [one.decision for one in verdicts.latest(conn)] == [decision]


def test_second_press_before_the_next_pair_was_read_is_no_verdict(trained: Store, monkeypatch):
    monkeypatch.setattr(state, "LEAST_DWELL_SECONDS", 3600.0)
    app = opened("disagreements")

    app.button(key="verdict_flip").click().run()

    with connect.read(trained.engine) as conn:
        assert verdicts.count(conn) == 0
    assert "Too quick" in app.toast[0].value


def test_skip_shows_the_next_pair_and_decides_nothing(trained: Store, monkeypatch):
    monkeypatch.setattr(state, "LEAST_DWELL_SECONDS", 0.0)
    app = opened("disagreements")
    before = [text.value for text in app.text]

    app.button(key="verdict_skip").click().run()

    assert [text.value for text in app.text] != before
    with connect.read(trained.engine) as conn:
        assert verdicts.count(conn) == 0


def test_retrain_queues_a_run_on_the_verdicts_and_a_new_ranking(going: Store, monkeypatch):
    monkeypatch.setattr(state, "LEAST_DWELL_SECONDS", 0.0)
    app = opened("disagreements")
    app.button(key="verdict_flip").click().run()

    app.button(key="triage_retrain").click().run()

    assert not app.exception
    with connect.read(going.engine) as conn:
        kinds = [run.kind.value for run in runs.queued(conn)]
        named = runs.queued(conn)[0].name
    assert kinds == ["train", "crossfit"]
    assert named == "after 1 verdict"


def test_no_test_pair_is_ever_queued_for_a_verdict(trained: Store, monkeypatch):
    monkeypatch.setattr(state, "LEAST_DWELL_SECONDS", 0.0)
    app = opened("disagreements")
    for number in range(len(app.segmented_control(key="triage_queue").options)):
        queues = app.segmented_control(key="triage_queue")
        queues.set_value(queues.options[number]).run()
        while any(button.key == "verdict_tie" for button in app.button):
            app.button(key="verdict_tie").click().run()

    with connect.read(trained.engine) as conn:
        decided = verdicts.effective(conn, dataset_id=1)
    ranked = review.triage(trained, dataset="things", labeler="imported").frame
    parts = set(ranked[ranked["pair_id"].isin(decided)]["part"])
    assert len(decided) > 50
    assert parts == {"train", "valid"}


def with_another_dataset(store: Store) -> Store:
    """`others`, newer than `things` and without a run."""
    rows = [{"prompt": f"What is {n}?", "response_chosen": f"{n} it is", "response_rejected": "no idea"} for n in "xyz"]
    for _ in imports.import_rows(store.engine, from_dicts(rows, ReadOptions()), dataset="others", file="others.jsonl"):
        pass
    return store


def test_chosen_dataset_is_kept_when_the_page_changes(trained: Store):
    with_another_dataset(trained)
    app = opened("overview")
    app.selectbox(key="dataset").set_value("things").run()

    app.switch_page("ui/pages/browse.py").run()

    assert app.selectbox(key="dataset").value == "things"
    assert len(app.dataframe[0].value) == 50


def test_chosen_dataset_comes_back_with_the_url(trained: Store):
    with_another_dataset(trained)
    app = AppTest.from_file(str(HOUSE / "streamlit_app.py"), default_timeout=TIMEOUT)
    app.query_params["dataset"] = "things"

    app.run()

    assert app.selectbox(key="dataset").value == "things"
    assert app.query_params["dataset"] == "things"


def test_removed_dataset_is_said_and_another_one_shown_everywhere(trained: Store):
    with_another_dataset(trained)
    app = opened("browse")
    assert app.selectbox(key="dataset").value == "others"
    files.remove_dataset(trained, "others")

    app.run()

    assert "others" in app.toast[0].value
    assert "removed" in app.toast[0].value
    assert app.selectbox(key="dataset").value == "things"
    assert len(app.dataframe[0].value) == 50
    assert not app.run().toast


def test_name_is_asked_once_before_the_first_pair_and_kept_on_every_page(trained: Store):
    app = opened("disagreements", kept_reviewer=None)
    assert not [button for button in app.button if button.key == "verdict_flip"]

    app.text_input(key="reviewer_name").set_value("ann").run()
    app.switch_page("ui/pages/browse.py").run()
    app.switch_page("ui/pages/disagreements.py").run()

    assert app.button(key="verdict_flip")
    assert "You decide as ann." in words_of(app)
    assert "ann" in app.query_params["reviewer"]
    app.button(key="reviewer_change").click().run()
    assert app.text_input(key="reviewer_name")


def test_verdict_given_elsewhere_meanwhile_is_not_overwritten(trained: Store, monkeypatch):
    monkeypatch.setattr(state, "LEAST_DWELL_SECONDS", 0.0)
    here, elsewhere = opened("disagreements"), opened("disagreements")
    before = [text.value for text in here.text]

    elsewhere.button(key="verdict_keep").click().run()
    here.button(key="verdict_flip").click().run()

    with connect.read(trained.engine) as conn:
        (written,) = verdicts.latest(conn)
    assert written.decision.value == written.label_side
    assert "decided this pair elsewhere" in here.toast[0].value
    assert [text.value for text in here.text] != before


def test_verdicts_of_another_dataset_are_neither_counted_nor_undone(trained: Store):
    with_another_dataset(trained)
    with connect.write(trained.engine) as conn:
        other = next(pairs.members(conn, datasets.get(conn, "others").id)).pair_id
        verdicts.decide(conn, pair_id=other, reviewer="me", decision=Decision.TIE, shown=Order.AB, blind=False)
    app = opened("disagreements", kept_dataset="things")

    app.button(key="verdict_undo").click().run()

    assert "None yet. Each is written at once" in words_of(app)
    assert "no verdict of yours to undo" in app.toast[0].value
    with connect.read(trained.engine) as conn:
        assert verdicts.count(conn) == 1


def test_undo_names_the_pair_that_is_back(trained: Store, monkeypatch):
    monkeypatch.setattr(state, "LEAST_DWELL_SECONDS", 0.0)
    app = opened("disagreements")
    asked = next(text.value for text in app.text if text.value.startswith("How is"))
    app.button(key="verdict_tie").click().run()

    app.button(key="verdict_undo").click().run()

    assert asked in app.toast[0].value.replace("\\", "")


def test_press_that_comes_before_the_page_is_drawn_again_is_no_verdict(trained: Store, monkeypatch):
    monkeypatch.setattr(state, "LEAST_DWELL_SECONDS", 0.0)
    app = opened("disagreements")

    app.button(key="verdict_flip").click().run()
    app.session_state["shown"] = ""  # as after a rerun that the next press interrupts: it never says what is shown
    app.button(key="verdict_flip").click().run()

    with connect.read(trained.engine) as conn:
        assert verdicts.count(conn) == 1


def rank_anew(store: Store) -> int:
    """A crossfit run that waits in the queue."""
    with connect.write(store.engine) as conn:
        here = datasets.get(conn, "things").id
        kind = RunKind.CROSSFIT
        return runs.add(conn, kind=kind, config={}, device="cpu", dataset_id=here, labeler="imported", name=None)


def test_review_goes_on_while_the_labels_are_ranked_anew(going: Store, monkeypatch):
    monkeypatch.setattr(state, "LEAST_DWELL_SECONDS", 0.0)
    run_id = rank_anew(going)
    app = opened("disagreements")

    app.button(key="verdict_tie").click().run()

    assert f"run {run_id}: waiting for the run before it" in words_of(app)
    with connect.read(going.engine) as conn:
        assert verdicts.count(conn) == 1


def test_how_far_the_review_is_stands_above_the_pair(trained: Store, monkeypatch):
    monkeypatch.setattr(state, "LEAST_DWELL_SECONDS", 0.0)
    app = opened("disagreements")
    total = int(app.get("progress")[0].proto.text.split(" of ")[1].split()[0])
    app.button(key="verdict_flip").click().run()

    app.button(key="verdict_keep").click().run()

    assert app.get("progress")[0].proto.text == f"2 of {total} decided · you changed 50 % of the 2 labels you judged"


def test_verdicts_and_the_list_are_in_the_words_of_the_page(trained: Store, monkeypatch):
    monkeypatch.setattr(state, "LEAST_DWELL_SECONDS", 0.0)
    app = opened("disagreements")
    asked = next(text.value for text in app.text if text.value.startswith("How is"))
    marked = next(caption.value for caption in app.caption if "prefers this one" in caption.value)
    side = marked.split()[0]

    app.button(key="verdict_keep").click().run()

    last, whole = (table.value for table in app.dataframe)
    assert list(last.iloc[0]) == [side, side, asked]
    assert "queue" in whole
    assert set(whole["queue"]) <= {queue.title for queue in review.QUEUES.values()}
    assert whole["prompt"].str.startswith("How is").all()


def test_queues_without_any_label_are_hidden_and_each_says_what_it_means(trained: Store):
    app = opened("disagreements")

    queues = app.segmented_control(key="triage_queue")

    assert not [name for name in queues.options if name.startswith("Labeler inconsistent")]
    assert review.QUEUES[Bucket.LABEL_ERROR].meaning in words_of(app)


def test_pair_on_which_reviewers_differ_is_shown_to_neither_again(trained: Store, monkeypatch):
    monkeypatch.setattr(state, "LEAST_DWELL_SECONDS", 0.0)
    ann, bo = opened("disagreements", kept_reviewer="ann"), opened("disagreements", kept_reviewer="bo")
    asked = next(text.value for text in ann.text if text.value.startswith("How is"))
    ann.button(key="verdict_keep").click().run()

    bo.button(key="verdict_flip").click().run()

    assert asked not in [text.value for text in (*ann.run().text, *bo.text)]


def test_run_is_opened_by_the_number_in_the_url(trained: Store):
    app = AppTest.from_file(str(HOUSE / "streamlit_app.py"), default_timeout=TIMEOUT)
    app.run()
    app.switch_page("ui/pages/runs.py")
    app.query_params["run"] = "1"

    app.run()

    assert "Run 1: train probe" in words_of(app)


def test_running_run_is_shown_before_a_queued_one(going: Store):
    rank_anew(going)

    app = opened("runs")

    assert "Run 3: train lora another" in words_of(app)


def test_queued_run_says_what_it_waits_for_and_a_launched_one_that_it_starts(going: Store):
    run_id = rank_anew(going)
    assert "number 1 of 1 in the queue of cpu; run 3 is going" in words_of(opened("runs", open_run=run_id))

    with connect.write(going.engine) as conn:
        started = psutil.Process().create_time()
        runs.launch(conn, run_id, pid=os.getpid(), pid_started=started, host=os.uname().nodename)

    assert "Starting: its process loads" in words_of(opened("runs", open_run=run_id))


def test_all_runs_are_in_one_table_with_their_state_and_accuracy(failed: Store):
    table = opened("runs").dataframe[0].value

    assert list(table["run"]) == [3, 2, 1]
    assert list(table["state"]) == ["failed", "finished", "finished"]
    assert table["accuracy"][2].endswith(" %")
    assert set(table["dataset"]) == {"things"}


def test_failed_run_is_tried_again_with_its_settings(failed: Store):
    claim_for_this_process(failed, rank_anew(failed))  # its device is taken, so the new run waits
    app = opened("runs", open_run=3)

    app.button(key="run_again").click().run()

    with connect.read(failed.engine) as conn:
        again, before = runs.get(conn, 5), runs.get(conn, 3)
    assert (again.kind, again.config, again.labeler) == (before.kind, before.config, before.labeler)


def test_second_training_run_says_whether_it_helped(trained: Store):
    with connect.write(trained.engine) as conn:
        first = runs.get(conn, 1)
        again = runs.add(
            conn,
            kind=first.kind,
            config=first.config,
            device="cpu",
            dataset_id=first.dataset_id,
            labeler=first.labeler,
        )
        scored = rewards.frame(conn, 1, dataset_id=first.dataset_id or 0)
        kept = [
            Reward(pair_id=row.pair_id, reward_a=row.reward_a, reward_b=row.reward_b) for row in scored.itertuples()
        ]
        rewards.add(conn, again, kept)
        runs.finish(
            conn, again, state=RunState.FINISHED, metrics=dict(first.metrics), checkpoint=first.checkpoint, error=None
        )

    app = opened("runs", open_run=again)

    num_test = int((scored["part"] == "test").sum())
    assert 0 < num_test < len(kept)  # valid chose the checkpoint, so it does not report
    assert f"On the same {num_test} test pairs exactly as accurate as run 1" in words_of(app)


def test_stop_that_comes_too_late_is_said_and_breaks_nothing(going: Store):
    app = opened("overview")
    with connect.write(going.engine) as conn:
        runs.finish(conn, 3, state=RunState.FINISHED, metrics={}, checkpoint=None, error=None)

    app.button(key="strip_stop_3").click().run()

    assert not app.exception


def test_characters_that_turn_the_direction_of_reading_are_written_out():
    assert widgets.visible("abc\u202egnp.exe\x07 \U0001f469\u200d\U0001f52c\n") == (
        "abc⟨U+202E⟩gnp.exe⟨U+0007⟩ \U0001f469\u200d\U0001f52c\n"
    )


def test_names_and_paths_stay_what_they_are_when_copied():
    assert "\u200b" not in widgets.plain("sqlite:///data/a:b.db, imported: run:3")
    assert "\u200b" in widgets.plain(":material/home: :red[x] :smile:")


def test_long_response_is_folded_with_nothing_lost(empty: Store):
    long = " ".join(f"word{number}" for number in range(1_000))
    rows = [{"prompt": "Say it.", "response_chosen": long, "response_rejected": "no"}]
    for _ in imports.import_rows(empty.engine, from_dicts(rows, ReadOptions()), dataset="long", file="long.jsonl"):
        pass
    app = AppTest.from_function(show_first_pair, default_timeout=TIMEOUT).run()

    shown = [text.value for text in app.text]

    assert not [text for text in shown if len(text) > widgets.FOLDED_CHARACTERS * 2]
    assert long in " ".join(shown).replace(" …", "")
    assert "Show the other" in app.expander[0].label


def show_first_pair() -> None:
    from db import connect, pairs  # noqa: PLC0415 - AppTest runs this text by itself
    from ui import state, widgets  # noqa: PLC0415

    with connect.read(state.store().engine) as conn:
        stored = pairs.get(conn, 1)
    widgets.side_by_side(stored.pair)


def test_whole_dataset_is_counted_and_rows_show_label_and_verdict(trained: Store):
    app = opened("browse")

    table = app.dataframe[0].value

    assert "1 to 50 of 84 pairs" in words_of(app)
    assert set(table["label"]) == {"A", "B"}
    assert set(table["subset"]) == {""}


def test_label_in_the_table_is_about_the_same_side_as_its_filter(trained: Store):
    app = opened("browse")

    app.selectbox(key="browse_side").set_value("b").run()

    assert set(app.dataframe[0].value["label"]) == {"B"}


def test_pairs_without_labels_say_so_where_the_labeler_stands(empty: Store):
    rows = [{"id": "1", "prompt": "x", "response_a": "y", "response_b": "z"}]
    for _ in imports.import_rows(empty.engine, from_dicts(rows, ReadOptions()), dataset="bare", file="bare.jsonl"):
        pass

    app = opened("browse")

    assert app.selectbox(key="browse_labeler").value == "none yet"
    assert list(app.dataframe[0].value["label"]) == [""]


def test_every_page_has_one_next_step(trained: Store):
    for page in ("overview", "browse", "runs", "disagreements"):
        primary = [button.key for button in opened(page).button if button.proto.type == "primary"]
        assert len(primary) == 1, (page, primary)
