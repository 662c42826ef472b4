"""Calibration says what to conclude, and from how little."""

from tests.ui.pages.test_pages import opened, words_of
from ui import show
from ui.processes import Store


def metrics(*, ece: float, gap: float, high: float = 0.09) -> dict[str, object]:
    return {
        "ece": ece,
        "gap": gap,
        "ece_null": {"low": 0.0, "high": high},
        "accuracy": {"value": 0.8, "num_decided": 9},
    }


def test_an_error_that_chance_explains_is_no_finding():
    assert show.calibration_words(metrics(ece=0.08, gap=0.08)) == (
        "As far as 9 pairs can tell, it is right as often as it is sure."
    )


def test_too_sure_and_too_modest_are_said_with_both_shares():
    assert show.calibration_words(metrics(ece=0.12, gap=0.1)) == (
        "It is too sure: on average it is 90.0 % sure and right on 80.0 %."
    )
    assert "too modest: on average it is 70.0 % sure" in show.calibration_words(metrics(ece=0.12, gap=-0.1))


def test_errors_that_cancel_are_not_called_right():
    assert "too sure of some pairs and too modest about others" in show.calibration_words(metrics(ece=0.2, gap=0.01))


def test_a_temperature_whose_interval_holds_one_says_nothing_against_the_model():
    assert show.temperature_words({"low": 0.84, "high": 1.25}) == "1 would do as well: 0.84 to 1.25"
    assert show.temperature_words({"low": 1.1, "high": 1.6}) == "it is too sure: 1.10 to 1.60"
    assert show.temperature_words({"low": 0.5, "high": 0.9}) == "it is too modest: 0.50 to 0.90"
    assert show.temperature_words({}) == "how certain it is, is not known"


def test_the_page_concludes_and_says_how_many_points_there_are(trained: Store):
    app = opened("calibration")

    said = words_of(app)
    assert "it is right as often as it is sure" in said or "It is too" in said
    assert "1 point of about" in said
    assert "Too few for a curve: 5 points need 250 decided test pairs" in said
    assert "10 bins" not in str(app.main)


def test_the_page_leads_on_to_the_labels_that_the_model_doubts(trained: Store):
    app = opened("calibration")

    assert app.button(key="calibration_next").label == "Look at the labels it doubts"
