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


@pytest.mark.parametrize(("value", "shown"), [(None, "-"), (1234, "1,234"), (True, "True"), ("[/red]", "[/red]")])
def test_cell_is_plain_text_for_terminal_and_page_alike(value, shown):
    assert show.cell(value) == shown
