import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import BadFile
from core.records import BadRow
from db import connect, datasets, pairs, search
from db.imports import import_rows
from db.pairs import PairFilter
from tests.db.made import dataset_id, index_all, load, triplet


def found(engine, words, name="d"):
    with connect.read(engine) as conn:
        chosen = PairFilter(dataset_id=dataset_id(engine, name), words=words)
        rows = pairs.browse(conn, chosen)
        assert pairs.count(conn, chosen) == len(rows)
    return [int(row.row_id.split(":")[1]) for row in rows]


@pytest.fixture
def zoo(engine):
    rows = [
        triplet(1, "the red fox runs", "over the hill", "under the bridge"),
        triplet(2, "the blue fox sleeps", "red roses", "nothing"),
        triplet(3, "Émile déjà vu", "C++ and don't", "NEAR AND OR NOT"),
    ]
    load(engine, rows)
    index_all(engine)
    return engine


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ("fox", [1, 2]),
        ("FOX", [1, 2]),
        ("red fox", [1, 2]),  # every word, anywhere in the pair
        ('"red fox"', [1]),  # a phrase, as it stands
        ('the "red fox"', [1]),
        ('"red fox', [1]),  # a quote that was not closed yet
        ("bridge", [1]),  # the rejected response too
        ("sleep", []),
        ("sleep*", [2]),
        ("slee*", []),  # too short to be a beginning
        ("emile deja", [3]),
        ("don't", [3]),
        ("near and", [3]),
        ("NOT nothing", []),
        ("zebra", []),
        ("fox zebra", []),
    ],
)
def test_words_are_found_as_they_are_meant(zoo, words, lines):
    if zoo.dialect.name != "sqlite" and words in {"sleep*", "emile deja"}:
        pytest.skip("PostgreSQL's simple dictionary knows no beginnings and keeps accents")

    assert found(zoo, words) == lines


@pytest.mark.parametrize("words", ["-", "*", "()", "prompt:fox", "^fox", "fox NEAR(", '"', '""', '" "', "\0", "{a b}"])
def test_what_looks_like_query_syntax_is_only_text(zoo, words):
    found(zoo, words)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.text(max_size=30) | st.text('"*^-+:(){} \0ORAND', max_size=12))
def test_no_typed_text_makes_the_search_fail(zoo, words):
    found(zoo, words)


@pytest.mark.usefixtures("only_sqlite")
def test_new_pairs_are_found_once_the_index_has_come_to_them(zoo):
    load(zoo, [triplet(1, "a zebra", "x", "y")], dataset="new")
    assert found(zoo, "zebra", "new") == []
    with connect.read(zoo) as conn:
        assert search.state(conn) == search.IndexState(done=3, total=4)

    index_all(zoo)

    assert found(zoo, "zebra", "new") == [1]
    with connect.read(zoo) as conn:
        assert search.state(conn).is_complete


@pytest.mark.usefixtures("only_sqlite")
def test_the_index_grows_by_as_many_pairs_as_it_is_told(engine):
    load(engine, [triplet(i, f"prompt {i}", "x", "y") for i in range(1, 8)])

    done = []
    for _ in range(4):
        with connect.write(engine) as conn:
            done.append(search.index_more(conn, limit=3).done)

    assert done == [3, 6, 7, 7]
    assert found(engine, "prompt") == list(range(1, 8))


@pytest.mark.usefixtures("only_sqlite")
def test_purged_pairs_are_not_found(zoo):
    with connect.write(zoo) as conn:
        datasets.purge(conn, "d")

    assert found(zoo, "fox") == []
    with connect.read(zoo) as conn:  # not by way of the index itself either
        assert conn.exec_driver_sql("SELECT count(*) FROM pair_words WHERE pair_words MATCH 'fox'").scalar() == 0
        conn.exec_driver_sql("INSERT INTO pair_words(pair_words) VALUES ('integrity-check')")


def test_pairs_purged_before_the_index_came_to_them_are_not_found(engine):
    load(engine, [triplet(1, "a fox", "x", "y")])
    with connect.write(engine) as conn:
        datasets.purge(conn, "d")

    index_all(engine)

    assert found(engine, "fox") == []


def test_pairs_of_an_import_that_failed_are_not_found_and_their_numbers_count_as_new(zoo):
    bad = BadRow(file="f", line=2, kind="not JSON", reason="not JSON")
    with pytest.raises(BadFile):
        list(import_rows(zoo, [triplet(1, "a zebra", "x", "y"), bad], dataset="new", file="f"))

    load(zoo, [triplet(1, "a lion", "x", "y")], dataset="new")
    index_all(zoo)

    assert found(zoo, "lion", "new") == [1]
    assert found(zoo, "zebra", "new") == []


@pytest.mark.usefixtures("only_sqlite")
def test_the_index_waits_for_an_import_that_still_runs(zoo, monkeypatch):
    monkeypatch.setattr("db.imports.REPORT_SECONDS", 0.0)
    going = import_rows(zoo, (triplet(i, f"zebra {i}", "x", "y") for i in range(1, 2001)), dataset="new", file="f")
    next(going)

    index_all(zoo)
    going.close()  # takes its rows back

    with connect.read(zoo) as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM pair_words WHERE pair_words MATCH 'zebra'").scalar() == 0
