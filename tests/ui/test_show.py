import pandas as pd
import pytest

from ui import show


def test_speed_is_the_mean_of_the_last_steps_and_absent_without_any():
    columns = ["pairs_per_second", "tokens_per_second", "shared", "padding"]
    steps = pd.DataFrame([[None] * 4, [2.0, 1000.0, 0.25, 0.0], [4.0, 3000.0, 0.35, 0.0]], columns=columns)

    assert show.speed_words(steps[:1]) == ""
    assert show.speed_words(steps) == (
        " · 3.0 pairs a second · 2,000 tokens a second · 30.0 % of all tokens saved by sharing prompts · 0.0 % padding"
    )


def test_early_stop_is_said_with_the_step_that_was_kept_and_only_where_there_was_one():
    assert show.early_words({"stopped_early_at": 1200, "best_step": 400}) == (
        "Stopped early at step 1,200: held-out NLL was lowest at step 400, whose weights were kept."
    )
    assert show.early_words({"stopped_early_at": None, "best_step": 400}) == ""
    assert show.early_words({}) == ""


@pytest.mark.parametrize(("value", "shown"), [(None, "-"), (1234, "1,234"), (True, "True"), ("[/red]", "[/red]")])
def test_cell_is_plain_text_for_terminal_and_page_alike(value, shown):
    assert show.cell(value) == shown


def test_a_comparison_is_said_in_sentences_with_what_it_rests_on():
    numbers = {"accuracy": 0.05, "accuracy_low": -0.01, "accuracy_high": 0.11}
    numbers |= {"nll": -0.02, "nll_low": -0.05, "nll_high": 0.01, "only_first": 9, "only_second": 4, "p_value": 0.18}

    said = show.compared_in_full({"runs": [3, 1], "against": "judge", "num_pairs": 100, **numbers})

    assert said.splitlines() == [
        "Run 3, against judge: On the same 100 test pairs 5.0 points more accurate than run 1 (95 % -1.0 to +11.0)"
        ": too few pairs to call it a difference.",
        "  only run 3 is right on 9, only run 1 on 4 (McNemar p 0.180); log loss -0.020 "
        "(95 % -0.050 to +0.010; below 0, run 3 is better)",
    ]


def test_a_comparison_without_a_decided_pair_invents_no_number():
    absent = dict.fromkeys(("accuracy", "accuracy_low", "accuracy_high", "nll", "nll_low", "nll_high", "p_value"))

    said = show.compared_in_full({"runs": [3, 1], "against": "judge", "num_pairs": 0, **absent})

    assert said == "Runs 3 and 1 have no test pair in common whose label by judge is decided."
