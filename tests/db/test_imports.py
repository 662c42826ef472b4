import pytest
from sqlalchemy import func, select

from core.errors import BadFile
from core.formats import from_dicts
from core.records import BadRow, IdenticalRow, Kind, PairRow, Part, Preference, Vote, pair_of
from db import connect, datasets, labelers, labels, pairs
from db.imports import import_rows, remove_unpublished
from db.schema import imports, memberships, votes
from db.schema import pairs as pair_table


def triplet(line, prompt, chosen, rejected, *, row_id=None, labeler="judge", subset=None):
    made = pair_of(prompt, chosen, rejected)
    vote = Vote(labeler=labeler, kind=Kind.AI, preference=Preference.A)
    given = (vote.swapped() if made.swapped else vote,)
    return PairRow(line=line, id=row_id, pair=made.pair, swapped=made.swapped, votes=given, subset=subset)


def some(count, **keywords):
    return [triplet(i, f"prompt {i}", f"good {i}", f"bad {i}", **keywords) for i in range(1, count + 1)]


def run_import(engine, rows, **keywords):
    return list(import_rows(engine, rows, dataset="d", file="f.jsonl", **keywords))[-1]


def num_rows(engine, table):
    with connect.read(engine) as conn:
        return conn.execute(select(func.count()).select_from(table)).scalar_one()


def test_every_pair_is_there_in_the_files_order_with_its_label(engine):
    counts = run_import(engine, some(5, subset="s"))

    with connect.read(engine) as conn:
        dataset = datasets.get(conn, "d")
        members = list(pairs.members(conn, dataset.id))
        given = labels.frame(conn, labeler="judge", dataset_id=dataset.id)
    assert (counts.read, counts.added, counts.duplicates, counts.conflicts) == (5, 5, 0, 0)
    assert [member.line for member in members] == [1, 2, 3, 4, 5]
    assert [member.row_id for member in members] == [f"d:{i}" for i in range(1, 6)]
    chosen_is_stored_b = {member.pair_id: member.swapped for member in members}
    assert all(row.p_a == (0.0 if chosen_is_stored_b[row.pair_id] else 1.0) for row in given.itertuples())
    assert dataset.num_pairs == 5


def test_the_same_file_twice_adds_nothing(engine):
    run_import(engine, some(5))

    again = run_import(engine, some(5))

    assert (again.added, again.duplicates) == (0, 5)
    assert num_rows(engine, votes) == 5


def test_a_pair_that_was_there_and_gets_another_label_is_counted_beside_new_and_known_ones(engine):
    run_import(engine, some(3))
    bad = BadRow(file="f.jsonl", line=9, kind="not JSON", reason="not JSON")

    counts = run_import(engine, [*some(1), *some(5, labeler="second")[1:], bad], skip_bad=True)

    assert (counts.read, counts.duplicates, counts.relabeled, counts.added) == (5, 1, 2, 2)


def test_opposite_triplets_are_one_pair_in_conflict(engine):
    counts = run_import(engine, [triplet(1, "p", "x", "y"), triplet(2, "p", "y", "x")])

    with connect.read(engine) as conn:
        label = labels.frame(conn, labeler="judge", dataset_id=datasets.get(conn, "d").id).iloc[0]
    assert (counts.added, counts.conflicts, counts.duplicates) == (1, 1, 0)
    assert (label.p_a, label.consistency) == (0.5, "repeat-split")


def test_a_conflict_with_an_earlier_import_is_found_too(engine):
    run_import(engine, [triplet(1, "p", "x", "y")])

    counts = run_import(engine, [triplet(1, "p", "y", "x", row_id="other")])

    with connect.read(engine) as conn:
        dataset = datasets.get(conn, "d")
        assert labels.frame(conn, labeler="judge", dataset_id=dataset.id).iloc[0].p_a == 0.5
        assert pairs.with_row_id(conn, dataset.id, "other") == pairs.with_row_id(conn, dataset.id, "d:1")
    assert (counts.added, counts.conflicts) == (0, 1)


def test_a_bad_row_leaves_nothing_and_is_counted_with_its_line(engine):
    bad = BadRow(file="f.jsonl", line=3, kind="empty response", reason="response_chosen is empty")

    with pytest.raises(BadFile, match=r"1 bad rows \(1 empty response\).*line 3: response_chosen is empty.*--skip-bad"):
        run_import(engine, [*some(2), bad, *some(1)])

    assert num_rows(engine, pair_table) == num_rows(engine, imports) == num_rows(engine, memberships) == 0
    with connect.read(engine) as conn:
        assert datasets.all(conn) == []


def test_a_failed_import_leaves_an_earlier_one_as_it_was(engine):
    run_import(engine, some(3))
    bad = BadRow(file="f.jsonl", line=9, kind="not JSON", reason="not JSON")

    with pytest.raises(BadFile):
        run_import(engine, [*some(4), triplet(5, "prompt 1", "bad 1", "good 1"), bad])

    with connect.read(engine) as conn:
        dataset = datasets.get(conn, "d")
        given = labels.frame(conn, labeler="judge", dataset_id=dataset.id)
    assert dataset.num_pairs == len(given) == 3
    assert set(given["consistency"]) == {"single"}


def test_bad_rows_can_be_left_out(engine):
    bad = BadRow(file="f.jsonl", line=3, kind="empty response", reason="response_chosen is empty")

    counts = run_import(engine, [*some(2), bad], skip_bad=True)

    assert (counts.added, counts.skipped) == (2, 1)


def test_one_id_on_two_pairs_names_both_lines(engine):
    rows = [triplet(1, "p", "x", "y", row_id="same"), triplet(2, "q", "x", "y", row_id="same")]

    with pytest.raises(BadFile, match="line 2: id 'same' also names the different pair of line 1"):
        run_import(engine, rows)


def test_a_file_of_identical_responses_holds_no_pair(engine):
    with pytest.raises(BadFile, match="all 2 of its pairs have identical responses"):
        run_import(engine, [IdenticalRow(line=1), IdenticalRow(line=2)])


def test_a_dry_run_counts_and_writes_nothing(engine):
    counts = run_import(engine, some(3), dry_run=True)

    assert counts.added == 3
    assert num_rows(engine, pair_table) == 0


def test_an_unpublished_import_is_seen_by_nobody_and_removed(engine):
    rows = iter([*some(2500), *[IdenticalRow(line=i) for i in range(5000)]])
    going = import_rows(engine, rows, dataset="d", file="f.jsonl")
    going.close()

    assert remove_unpublished(engine, older_than=0.0) == 0  # closing the generator took it back already
    with connect.read(engine) as conn:
        assert datasets.all(conn) == []


def test_a_declared_split_wins_over_the_hash(engine):
    run_import(engine, some(20), split=Part.TEST)

    with connect.read(engine) as conn:
        assert {member.part for member in pairs.members(conn, datasets.get(conn, "d").id)} == {Part.TEST}


def test_labelers_are_listed_the_most_frequent_first(engine):
    run_import(engine, [*some(3, labeler="rare"), *some(5, labeler="often")])

    with connect.read(engine) as conn:
        found = labelers.summaries(conn, datasets.get(conn, "d").id)
    assert [(labeler.name, labeler.num_labels) for labeler in found] == [("often", 5), ("rare", 3)]


def test_pooled_votes_are_one_label(engine):
    run_import(engine, [triplet(1, "p", "x", "y", labeler="one"), triplet(2, "p", "y", "x", labeler="two")])

    with connect.read(engine) as conn:
        pooled = labels.frame(conn, labeler="ai", dataset_id=datasets.get(conn, "d").id)
    assert list(pooled["p_a"]) == [0.5]
    assert list(pooled["num_votes"]) == [2]


def test_half_a_surrogate_pair_is_a_bad_row(engine):
    rows = [*some(2), triplet(3, "a \ud800 b", "x", "y")]

    with pytest.raises(BadFile, match=r"line 3: half a surrogate pair \('\\ud800'\)"):
        run_import(engine, rows)
    assert run_import(engine, rows, skip_bad=True).skipped == 1


def test_one_import_after_another_adds_to_the_dataset(engine):
    run_import(engine, some(2))
    run_import(engine, [triplet(1, "more", "x", "y", row_id="m")])

    with connect.read(engine) as conn:
        dataset = datasets.get(conn, "d")
        assert [member.row_id for member in pairs.members(conn, dataset.id)] == ["d:1", "d:2", "m"]
        assert [one.num_labels for one in labelers.summaries(conn, dataset.id)] == [3]
    assert (dataset.num_pairs, dataset.data_version) == (3, 2)


def test_equal_lines_are_one_vote_counted_as_duplicates(engine):
    counts = run_import(engine, [triplet(1, "p", "x", "y"), triplet(2, "p", "x", "y"), triplet(3, "p", "x", "y")])

    assert (counts.read, counts.added, counts.duplicates, counts.conflicts) == (3, 1, 2, 0)
    assert num_rows(engine, votes) == 1


def test_equal_votes_of_one_row_are_two_votes_however_often_the_file_comes(engine):
    made = pair_of("p", "x", "y")
    twice = (Vote(labeler="judge", kind=Kind.AI, preference=Preference.A),) * 2
    row = PairRow(line=1, id=None, pair=made.pair, swapped=made.swapped, votes=twice)

    run_import(engine, [row])
    run_import(engine, [row])

    assert num_rows(engine, votes) == 2


def test_labels_that_span_batches_are_those_of_all_votes(engine, monkeypatch):
    monkeypatch.setattr("db.import_tickets.BATCH_ROWS", 2)
    rows = [triplet(5, "p", "x", "y"), *some(4), triplet(6, "p", "y", "x")]

    counts = run_import(engine, rows)

    with connect.read(engine) as conn:
        given = labels.frame(conn, labeler="judge", dataset_id=datasets.get(conn, "d").id)
    assert counts.conflicts == 1
    assert sorted(given["num_votes"]) == [1, 1, 1, 1, 2]
    assert list(given["p_a"][given["num_votes"] == 2]) == [0.5]


def test_what_a_killed_import_left_is_gone_at_the_next_start(engine, monkeypatch):
    monkeypatch.setattr("db.import_tickets.BATCH_ROWS", 2)
    monkeypatch.setattr("db.imports.REPORT_SECONDS", 0.0)
    run_import(engine, some(2))
    with monkeypatch.context() as killed:
        killed.setattr(
            "db.import_cleaning.take_back", lambda engine, tally: None
        )  # a killed process takes nothing back
        going = import_rows(engine, some(6), dataset="e", file="e.jsonl")
        next(going), next(going)
        going.close()
    assert num_rows(engine, pair_table) == 4

    assert remove_unpublished(engine) == 0  # it may still be going
    assert remove_unpublished(engine, older_than=0.0) == 1

    assert num_rows(engine, pair_table) == num_rows(engine, memberships) == num_rows(engine, votes) == 2
    assert num_rows(engine, imports) == 1


def test_a_failed_import_takes_no_pair_from_the_one_that_shares_it(engine, monkeypatch):
    monkeypatch.setattr("db.import_tickets.BATCH_ROWS", 1)
    monkeypatch.setattr("db.imports.REPORT_SECONDS", 0.0)
    first = import_rows(engine, some(3), dataset="fails", file="f.jsonl")
    next(first), next(first)  # its first two pairs are written, not published

    run_import(engine, some(2))
    first.close()

    with connect.read(engine) as conn:
        dataset = datasets.get(conn, "d")
        members = list(pairs.members(conn, dataset.id))
        assert len(dict(pairs.texts(conn, [member.pair_id for member in members]))) == 2
        assert len(labels.frame(conn, labeler="judge", dataset_id=dataset.id)) == 2
        assert [one.name for one in datasets.all(conn)] == ["d"]


def test_no_pair_without_its_id_loses_the_line_it_stood_on(engine):
    rows = [triplet(7, "p", "x", "y"), triplet(9, "q", "x", "y", row_id="named")]
    run_import(engine, rows)

    with connect.read(engine) as conn:
        members = list(pairs.members(conn, datasets.get(conn, "d").id))
    assert [(member.row_id, member.line) for member in members] == [("d:7", 7), ("named", 9)]


def test_a_purged_pair_that_is_imported_again_has_its_text_again(engine):
    run_import(engine, some(3))
    with connect.write(engine) as conn:
        datasets.purge(conn, "d")

    counts = run_import(engine, some(3))

    with connect.read(engine) as conn:
        members = list(pairs.members(conn, datasets.get(conn, "d").id))
        texts = dict(pairs.texts(conn, [member.pair_id for member in members]))
    assert counts.added == len(texts) == 3
    assert num_rows(engine, pair_table) == 3  # the hash stood there still


def test_a_purged_pair_stays_purged_where_its_new_import_fails(engine):
    run_import(engine, some(1))
    with connect.write(engine) as conn:
        datasets.purge(conn, "d")
    bad = BadRow(file="f.jsonl", line=2, kind="not JSON", reason="not JSON")

    with pytest.raises(BadFile):
        run_import(engine, [*some(1), *[IdenticalRow(line=i) for i in range(1000)], bad])

    with connect.read(engine) as conn:
        stored = conn.execute(select(pair_table)).one()
    assert (stored.prompt, stored.response_a, stored.response_b, stored.purged) == ("[]", "", "", True)
    assert num_rows(engine, imports) == 1


def test_a_second_file_without_ids_joins_the_dataset_under_names_of_its_own(engine):
    run_import(engine, some(2))

    run_import(engine, [triplet(1, "prompt 1", "good 1", "bad 1"), triplet(2, "other", "x", "y")])

    with connect.read(engine) as conn:
        members = list(pairs.members(conn, datasets.get(conn, "d").id))
    assert [(member.row_id, member.line) for member in members] == [("d:1", 1), ("d:2", 2), ("d:2#2", 2)]


def test_a_second_file_of_groups_without_ids_joins_the_dataset_under_names_of_its_own(engine):
    first = [{"prompt": "p", "responses": ["x", "y", "z"]}]
    second = [{"prompt": "q", "responses": ["x", "y", "z"]}]
    run_import(engine, from_dicts(first))

    counts = run_import(engine, from_dicts(second))

    with connect.read(engine) as conn:
        members = list(pairs.members(conn, datasets.get(conn, "d").id))
    assert (counts.added, counts.skipped) == (3, 0)
    assert [member.row_id for member in members] == ["d:1/1", "d:1/2", "d:1/3", "d:1/1#2", "d:1/2#2", "d:1/3#2"]


def test_a_labeler_whose_name_no_store_can_keep_is_a_bad_row(engine):
    with pytest.raises(BadFile, match=r"line 1: half a surrogate pair \('\\ud800'\) stands in a text"):
        run_import(engine, some(1, labeler="a \ud800 b"))
