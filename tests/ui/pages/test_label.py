"""Label and Labelers: what would be asked, a trial, its result, and the report card."""

import json

from core.formats import ReadOptions
from core.records import RunKind
from db import connect, runs
from tests.ui.pages.conftest import finished
from tests.ui.pages.test_pages import opened, words_of
from ui import actions, files, labeling
from ui.processes import Store


def put(store: Store, count=40) -> None:
    path = store.folder.parent / "fresh.jsonl"
    rows = [
        {"prompt": f"Question {i}?", "response_a": f"Yes {i}.", "response_b": f"No, because of {i} reasons " * 3}
        for i in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for _ in files.import_file(store, path, dataset="fresh", options=ReadOptions()):
        pass


def choose(app, source):
    return app.segmented_control(key="label_source").set_value(source).run()


def test_without_a_model_nothing_can_be_asked_and_it_is_said(empty: Store):
    put(empty)

    app = opened("label")

    assert "Nothing can be asked yet" in words_of(app)
    assert "needs a model" in words_of(app)


def test_a_server_s_request_and_cost_are_shown_before_anything_is_asked(empty: Store):
    put(empty)
    app = opened("label")
    app.text_input(key="label_model_openai").set_value("judge-1").run()

    said = words_of(app)

    assert "80 requests to ask about 40 pairs" in said
    assert "The cost is unknown" in said
    assert any("Question 0?" in block.value for block in app.code)
    with connect.read(empty.engine) as conn:
        assert runs.all(conn) == []


def test_a_price_that_is_told_gives_the_cost(empty: Store):
    put(empty)
    app = opened("label")
    app.text_input(key="label_model_openai").set_value("judge-1").run()
    app.number_input(key="label_price_in").set_value(1000.0)
    app.button(key="label_price_keep").click().run()

    said = words_of(app)

    assert "by the prices of" in said
    assert "unknown" not in said


def test_a_principle_that_is_edited_is_shown_as_changed(empty: Store):
    put(empty)
    app = opened("label")
    app.text_area(key="label_text_0").set_value("principles: [{id: kind, text: Be kind.}]").run()

    assert "added: kind: Be kind." in words_of(app)


def test_a_constitution_that_cannot_be_followed_is_said(empty: Store):
    put(empty)
    app = opened("label")
    app.text_area(key="label_text_0").set_value("principles: []").run()

    assert any("no principles" in one.value for one in app.error)


def test_a_trial_labels_ten_pairs_and_shows_them(empty: Store):
    put(empty)
    app = choose(opened("label"), "simulated")
    app.button(key="label_try").click().run()
    with connect.read(empty.engine) as conn:
        (run,) = runs.all(conn)

    finished(empty, run.id)
    app = choose(opened("label"), "simulated")

    assert (run.kind, run.config["limit"]) == (RunKind.LABEL, 10)
    assert "20 votes by simulated" in words_of(app)
    assert "60 requests to ask about 40 pairs; 20 are answered already" in words_of(app)
    assert sum("is better" in one.label for one in app.expander) == 10


def test_the_report_card_tells_of_the_shown_order(empty: Store):
    put(empty)
    finished(empty, labeling.start_labels(empty, labeling.asked(dataset="fresh", labeler="rule:first", settings={})))
    app = opened("labelers")

    said = words_of(app)
    assert "of 40 pairs asked in both" in said
    assert any(one.value == "100.0 %" for one in app.metric)  # it always takes the first shown


def test_labelers_of_an_unlabeled_dataset_lead_to_label(empty: Store):
    put(empty)

    app = opened("labelers")

    assert "Nobody has labeled these pairs yet" in words_of(app)
    assert app.button(key="labelers_label")


def test_resume_goes_on_with_a_stopped_label_run(empty: Store):
    put(empty)
    run_id = labeling.start_labels(empty, labeling.asked(dataset="fresh", labeler="rule:longest", settings={}))
    finished(empty, run_id)
    with connect.write(empty.engine) as conn:
        conn.exec_driver_sql("UPDATE runs SET state = 'stopped'")

    actions.resume_run(empty, run_id)

    assert finished(empty, run_id).metrics["num_answered_before"] == 80
