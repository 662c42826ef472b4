"""Columns are guessed by their names; what no name tells stays open."""

import pytest

from ui import columns


@pytest.mark.parametrize(
    ("names", "mapping"),
    [
        (
            ["question", "best", "worst"],
            {"prompt": "question", "response_chosen": "best", "response_rejected": "worst"},
        ),
        (["Q", "Good answer", "Bad answer"], {"response_chosen": "Good answer", "response_rejected": "Bad answer"}),
        (
            ["uid", "userQuery", "answer_A", "answer_B", "label"],
            {
                "id": "uid",
                "prompt": "userQuery",
                "response_a": "answer_A",
                "response_b": "answer_B",
                "preference": "label",
            },
        ),
        (["instruction", "completions"], {"prompt": "instruction", "responses": "completions"}),
        (["text", "number"], {}),
    ],
)
def test_columns_are_guessed_by_their_names(names, mapping):
    assert columns.guess(names).mapping == mapping


def test_no_column_is_taken_twice():
    found = columns.guess(["prompt", "winner"])

    assert len(set(found.mapping.values())) == len(found.mapping)
