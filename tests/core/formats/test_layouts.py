"""Every layout of preference data becomes the same pairs; what cannot be used is refused by line and reason."""

import json
import re
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadFile
from core.formats import ReadOptions, from_dicts, from_frame, pair_line
from core.records import MAX_TEXT_CHARACTERS, BadRow, IdenticalRow, Kind, Message, PairRow, Preference, Role, pair_of

ASKED, BEST, WORST = "Capital of France?", "Paris.", "Lyon."
USER = [{"role": "user", "content": ASKED}]


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def preferred(row: object) -> tuple[tuple[Message, ...], str, str]:
    """Prompt, chosen and rejected of a row with one decided vote."""
    assert isinstance(row, PairRow), row
    (vote,) = row.votes
    responses = (row.pair.response_a, row.pair.response_b)
    best, worst = responses if vote.preference is Preference.A else responses[::-1]
    return row.pair.prompt, best, worst


SAME_TRIPLET: dict[str, dict[str, Any]] = {
    "the owner's": {"prompt": ASKED, "response_chosen": BEST, "response_rejected": WORST},
    "TRL, explicit": {"prompt": ASKED, "chosen": BEST, "rejected": WORST},
    "TRL, conversational": {"prompt": USER, "chosen": [said(BEST)], "rejected": [said(WORST)]},
    "TRL, implicit": {"chosen": [*USER, said(BEST)], "rejected": [*USER, said(WORST)]},
    "hh": {
        "chosen": f"\n\nHuman: {ASKED}\n\nAssistant: {BEST}",
        "rejected": f"\n\nHuman: {ASKED}\n\nAssistant: {WORST}",
    },
    "alpaca": {"instruction": ASKED, "input": "", "chosen": BEST, "rejected": WORST},
    "alpaca, a list": {"instruction": ASKED, "input": "", "output": [BEST, WORST]},
    "sharegpt": {
        "conversations": [{"from": "human", "value": ASKED}],
        "chosen": {"from": "gpt", "value": BEST},
        "rejected": {"from": "gpt", "value": WORST},
    },
    "a group with scores": {"prompt": ASKED, "responses": [WORST, BEST], "scores": [1, 4]},
    "pairs": {
        "prompt": ASKED,
        "response_a": WORST,
        "response_b": BEST,
        "labels": [{"labeler": "judge", "kind": "ai", "preference": "b"}],
    },
}


@pytest.mark.parametrize("row", SAME_TRIPLET.values(), ids=SAME_TRIPLET.keys())
def test_every_layout_says_the_same_triplet(row):
    (found,) = from_dicts([row])

    assert preferred(found) == ((Message(Role.USER, ASKED),), BEST, WORST)


def test_any_columns_are_read_when_they_are_mapped():
    options = ReadOptions(
        mapping={"prompt": "question", "response_chosen": "best", "response_rejected": "other"},
        labeler="me",
        kind=Kind.HUMAN,
    )

    (found,) = from_dicts([{"question": ASKED, "best": BEST, "other": WORST}], options)

    assert preferred(found)[1:] == (BEST, WORST)
    assert (found.votes[0].labeler, found.votes[0].kind) == ("me", Kind.HUMAN)


def test_mapped_column_that_is_not_there_refuses_the_file_and_lists_its_columns():
    with pytest.raises(BadFile, match=r"no column 'nope'.*it has question"):
        list(from_dicts([{"question": ASKED}], ReadOptions(mapping={"prompt": "nope"})))


def test_group_of_three_responses_gives_its_three_pairs():
    rows = list(from_dicts([{"id": "g", "prompt": ASKED, "responses": ["x", "y", "z"], "scores": [3, 2, 2]}]))

    preferences = sorted(row.votes[0].preference.value for row in rows)
    assert len(rows) == 3
    assert preferences.count("tie") == 1
    assert {row.pair.prompt_hash for row in rows} == {rows[0].pair.prompt_hash}


def test_pair_without_labels_has_no_vote():
    (found,) = from_dicts([{"prompt": ASKED, "response_a": BEST, "response_b": WORST}])

    assert found.votes == ()


def test_several_labelers_ties_and_probabilities_keep_the_files_orientation():
    labels = [
        {"labeler": "one", "kind": "ai", "preference": "a", "p_a": 0.8, "order": "ab"},
        {"labeler": "two", "kind": "human", "preference": "tie"},
    ]
    row = {"prompt": ASKED, "response_a": BEST, "response_b": WORST, "labels": labels}

    (found,) = from_dicts([row])

    one, two = (vote.swapped() if found.swapped else vote for vote in found.votes)
    assert (one.preference, one.p_a, one.order.value) == (Preference.A, pytest.approx(0.8), "ab")
    assert (two.preference, two.kind) == (Preference.TIE, Kind.HUMAN)


def test_strength_is_kept_and_never_becomes_a_probability():
    label = {"labeler": "one", "kind": "ai", "preference": "a", "strength": 0.9}

    (found,) = from_dicts([{"prompt": ASKED, "response_a": BEST, "response_b": WORST, "labels": [label]}])

    assert found.votes[0].strength == 0.9
    assert found.votes[0].p_a is None


def test_unknown_keys_are_kept_as_meta_and_id_and_subset_are_known():
    row = {"id": 7, "subset": "maths", "prompt": ASKED, "chosen": BEST, "rejected": WORST, "source": "book"}

    (found,) = from_dicts([row])

    assert (found.id, found.subset) == ("7", "maths")
    assert json.loads(found.meta) == {"source": "book"}


def test_windows_newlines_make_no_other_pair():
    unix, windows = from_dicts(
        [
            {"prompt": "a\nb", "chosen": "x\ny", "rejected": "z"},
            {"prompt": "a\r\nb", "chosen": "x\r\ny", "rejected": "z"},
        ]
    )

    assert unix.pair.hash == windows.pair.hash


def test_identical_responses_are_no_error_and_no_pair():
    (found,) = from_dicts([{"prompt": ASKED, "chosen": BEST, "rejected": BEST}])

    assert found == IdenticalRow(line=1)


def labeled(**label: object) -> dict[str, object]:
    return {"prompt": ASKED, "response_a": BEST, "response_b": WORST, "labels": [label]}


BAD = [
    ({"prompt": ASKED, "chosen": "", "rejected": WORST}, "chosen is empty"),
    ({"prompt": ASKED, "chosen": "  ", "rejected": WORST}, "empty"),
    ({"prompt": ASKED, "chosen": BEST}, "'rejected' is missing"),
    ({"prompt": ASKED, "chosen": BEST, "rejected": None}, "rejected"),
    ({"prompt": ASKED, "chosen": BEST, "rejected": 3}, "must be a text"),
    ({"prompt": [], "chosen": BEST, "rejected": WORST}, "prompt"),
    ({"prompt": [{"role": "wizard", "content": "x"}], "chosen": BEST, "rejected": WORST}, "role"),
    ({"prompt": ASKED, "chosen": "x" * (MAX_TEXT_CHARACTERS + 1), "rejected": WORST}, "1,000,001 characters"),
    (labeled(labeler="j", kind="ai", preference="a", p_a=0.2), "contradicts its own p_a"),
    (labeled(labeler="j", kind="ai", preference="tie", p_a=0.99), "contradicts its own p_a"),
    (labeled(labeler="j", kind="ai", preference="a", p_a=1.5), r"\[0, 1\]"),
    (labeled(labeler="j", kind="ai", preference="best"), "preference must be one of a, b, tie"),
    (labeled(labeler="j", kind="robot", preference="a"), "kind must be one of"),
    ({"prompt": ASKED, "chosen": BEST, "rejected": WORST, "images": ["x.png"]}, "media"),
    (
        {"prompt": ASKED, "chosen": BEST, "rejected": WORST, "input_ids_chosen": [1], "chosen_input_ids": [1]},
        "token ids",
    ),
]


@pytest.mark.parametrize(("row", "why"), BAD, ids=range(len(BAD)))
def test_bad_row_is_refused_with_its_line_and_reason(row, why):
    good = {key: value for key, value in SAME_TRIPLET["TRL, explicit"].items() if "response_a" not in row}
    good = SAME_TRIPLET["pairs"] if "response_a" in row else good

    first, second = from_dicts([good, row])

    assert isinstance(first, PairRow)
    assert isinstance(second, BadRow)
    assert second.line == 2
    assert pd.Series([second.reason]).str.contains(why, regex=True).item(), second.reason


def test_frame_reads_like_dicts_and_missing_cells_are_absent_keys():
    rows = [SAME_TRIPLET["TRL, explicit"], SAME_TRIPLET["TRL, explicit"] | {"prompt": "Another?", "subset": "s"}]

    first, second = from_frame(pd.DataFrame(rows))

    assert (first.subset, second.subset) == (None, "s")
    assert preferred(first)[1:] == (BEST, WORST)


texts = st.text(min_size=1, max_size=40).filter(lambda text: text.strip() != "" and "\r" not in text)


@given(prompt=texts, one=texts, other=texts, preference=st.sampled_from(["a", "b", "tie"]))
def test_what_is_written_is_read_again(prompt, one, other, preference):
    if one == other:
        return
    label = {"labeler": "j", "kind": "ai", "preference": preference}
    (row,) = from_dicts([{"id": "1", "prompt": prompt, "response_a": one, "response_b": other, "labels": [label]}])
    votes = [vote.swapped() if row.swapped else vote for vote in row.votes]

    line = pair_line(row_id="1", prompt=row.pair.prompt, responses=(one, other), votes=votes, subset=None)
    (again,) = from_dicts([json.loads(json.dumps(line))])

    assert again.pair == row.pair == pair_of(prompt, one, other).pair
    assert again.votes == row.votes


@pytest.mark.parametrize(
    ("history", "why"),
    [
        (3, "history must be a list"),
        (["q", "a", "c"], r"history\[0\] must be \[question, answer\], two texts, got q"),
        ([["q", "a"], [1, 2]], r"history\[1\] must be \[question, answer\], two texts, got \[1, 2\]"),
    ],
)
def test_a_history_that_is_no_list_of_two_texts_is_a_bad_row(history, why):
    (bad,) = from_dicts([{"instruction": "i", "chosen": "x", "rejected": "y", "history": history}])

    assert isinstance(bad, BadRow)
    assert re.match(why, bad.reason)


@pytest.mark.parametrize("kind", [None, ""])
def test_a_label_without_a_kind_is_of_the_kind_that_the_user_names(kind):
    label = {"labeler": "ann", "kind": kind, "preference": "a"}
    row = {"prompt": "p", "response_a": "x", "response_b": "y", "labels": [label]}

    (found,) = from_dicts([row], ReadOptions(kind=Kind.HUMAN))

    assert [vote.kind for vote in found.votes] == [Kind.HUMAN]
