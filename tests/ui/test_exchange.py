"""What export-data writes comes back whole in another store."""

import json

import pytest

from core.formats import ReadOptions
from core.records import Decision, Kind, Order, Part, Preference
from db import connect, datasets, labelers, pairs, verdicts
from ui import files, review
from ui.processes import open_store

PROMPTS = ("first", "second", "third", "fourth")


def read(store, path, **keywords):
    return list(files.import_file(store, path, dataset="d", options=ReadOptions(labeler="judge"), **keywords))[-1]


@pytest.fixture
def exported(tmp_path):
    """A store of four pairs with columns, an alias, a declared part and verdicts; and its export."""
    store = open_store(str(tmp_path / "one.db"))
    rows = [
        {"id": p, "prompt": p, "chosen": "yes", "rejected": "no", "source": p.upper(), "strength": 3} for p in PROMPTS
    ]
    file = tmp_path / "d.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[0] | {"id": "also first"}]))
    read(store, file, split=Part.TEST)
    for prompt, decision in (("first", Decision.B), ("second", Decision.DROP), ("third", Decision.TIE)):
        decide(store, prompt, decision, reviewer="ann")
    decide(store, "first", Decision.A, reviewer="bob")
    files.export_data(store, dataset="d", path=tmp_path / "out.jsonl")
    return store, tmp_path / "out.jsonl"


def decide(store, prompt, decision, *, reviewer):
    with connect.read(store.engine) as conn:
        pair_id = pairs.with_row_id(conn, datasets.get(conn, "d").id, prompt)
    facts = {"shown": Order.BA, "labeler": "judge", "label_side": Preference.A, "reason": "because"}
    review.decide(store, pair_id=pair_id, reviewer=reviewer, decision=decision, **facts)


def content(store):
    """What a dataset holds, by the user's ids."""
    with connect.read(store.engine) as conn:
        here = datasets.get(conn, "d")
        found = []
        for member in pairs.members(conn, here.id):
            stored, given = pairs.get(conn, member.pair_id), pairs.as_given(conn, here.id, [member.pair_id])
            said = [
                (v.reviewer, v.decision, v.reason, v.shown, v.blind, v.label_side, v.created)
                for v in verdicts.of_pair(conn, member.pair_id)
            ]
            kept = given[member.pair_id]
            meta = kept.meta and json.loads(kept.meta)
            found.append((member.row_id, stored.pair, member.part, kept.split, kept.aliases, meta, stored.votes, said))
        return found, [(one.name, one.kind, one.num_labels) for one in labelers.summaries(conn, here.id)]


def test_an_export_is_the_same_content_in_another_store(exported, tmp_path):
    first, out = exported
    second = open_store(str(tmp_path / "two.db"))

    read(second, out)

    assert content(second) == content(first)
    assert content(second)[1] == [("judge", Kind.AI, len(PROMPTS))]


def test_what_is_published_has_its_parts_and_verdicts_even_if_the_import_ends_there(exported, tmp_path):
    first, out = exported
    second = open_store(str(tmp_path / "two.db"))

    going = files.import_file(second, out, dataset="d", options=ReadOptions(labeler="judge"))
    next(going)  # so short a file yields once: when it is published
    going.close()  # as a tab that is closed and a process that is killed do

    assert content(second) == content(first)


def test_importing_an_export_twice_adds_nothing(exported):
    store, out = exported
    before = content(store)

    counts = read(store, out)

    assert counts.added == 0
    assert content(store) == before


def test_a_verdict_that_was_taken_back_stays_so(exported):
    store, out = exported
    review.undo(store, reviewer="bob", dataset="d")
    before = content(store)

    read(store, out)

    assert content(store) == before


def test_users_columns_stand_where_they_stood(exported):
    line = json.loads(exported[1].read_text().splitlines()[0])

    assert line["source"] == "FIRST"
    assert line["tiebreak"]["meta"] == {"strength": 3}  # read as the label's in the layout of pairs


@pytest.mark.parametrize("extras", [{"split": "all"}, {"verdicts": [{"reviewer": "x"}]}, {"aliases": 3}])
def test_extras_that_nobody_wrote_so_are_a_bad_row(exported, tmp_path, extras):
    store, _ = exported
    file = tmp_path / "bad.jsonl"
    row = {"prompt": "new", "response_a": "x", "response_b": "y", "labels": []}
    file.write_text("\n".join(json.dumps(one) for one in (row, row | {"prompt": "newer", "tiebreak": extras})))

    assert read(store, file, skip_bad=True).skipped == 1
