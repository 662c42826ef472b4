import sqlite3
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from core.errors import StoreError
from db import connect
from db.schema import datasets, memberships
from tests.db.made import load, pair_ids, some


def url_of(path):
    return connect.resolve_url(str(path))


def test_the_option_wins_over_the_environment_over_the_folder_in_use(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert connect.resolve_url(None) == f"sqlite:///{tmp_path / '.tiebreak/store.db'}"

    monkeypatch.setenv("TIEBREAK_STORE", "sqlite:///of-environment.db")
    assert connect.resolve_url(None) == f"sqlite:///{tmp_path / 'of-environment.db'}"
    assert connect.resolve_url("option.db") == f"sqlite:///{tmp_path / 'option.db'}"


def test_a_store_in_memory_is_refused_because_a_worker_could_not_see_it():
    with pytest.raises(StoreError, match="a store is a file or a server"):
        connect.resolve_url("sqlite:///:memory:")


@pytest.mark.parametrize("url", ["foo://bar", "://x"])
def test_a_url_of_no_known_database_is_said_with_what_would_be_right(url):
    with pytest.raises(StoreError, match=r"a store is a file or a server, got .*; give a path such as"):
        connect.resolve_url(url)


@pytest.mark.skipif(find_spec("psycopg") is not None, reason="psycopg is installed here")
def test_a_server_without_its_driver_says_what_to_install_and_no_password():
    url = connect.resolve_url("postgresql://me:secret@host/name")

    with pytest.raises(
        StoreError, match=r"needs the package psycopg, .* pip install 'tiebreak\[postgres\]'"
    ) as refused:
        connect.open_store(url)
    assert "secret" not in str(refused.value)


def test_a_store_is_shown_without_its_password(tmp_path):
    assert connect.shown("postgresql+psycopg://me:secret@host/name") == "postgresql+psycopg://me:***@host/name"
    assert connect.shown(url_of(tmp_path / "mine.db")) == str(tmp_path / "mine.db")


def test_files_of_runs_lie_beside_the_store(tmp_path):
    assert connect.run_folder(url_of(tmp_path / "mine.db")) == tmp_path / "mine-files"


def test_opening_makes_the_folder_and_opening_again_finds_the_store(tmp_path):
    path = tmp_path / "new" / "folder" / "store.db"
    first = connect.open_store(url_of(path))
    with connect.write(first) as conn:
        conn.execute(insert(datasets).values(name="kept", created=0.0))
    first.dispose()

    again = connect.open_store(url_of(path))

    with connect.read(again) as conn:
        assert conn.execute(datasets.select()).one().name == "kept"
    again.dispose()


@pytest.mark.usefixtures("only_sqlite")
def test_a_store_has_the_journal_and_the_foreign_keys_that_it_promises(engine):
    with connect.read(engine) as conn:
        assert conn.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert conn.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_a_row_that_points_nowhere_is_refused(engine):
    nowhere = {"dataset_id": 1, "pair_id": 1, "import_id": 1, "row_id": "r", "file": "f", "line": 1}

    with pytest.raises(IntegrityError, match=r"(?i)foreign key"), connect.write(engine) as conn:
        conn.execute(insert(memberships).values(**nowhere, swapped=False, part="train"))


def test_what_fails_within_a_transaction_leaves_nothing(engine):
    def write_and_fail():
        with connect.write(engine) as conn:
            conn.execute(insert(datasets).values(name="half", created=0.0))
            raise KeyError

    with pytest.raises(KeyError):
        write_and_fail()

    with connect.read(engine) as conn:
        assert conn.execute(datasets.select()).all() == []


@pytest.mark.usefixtures("only_sqlite")
def test_a_locked_store_is_said_in_one_sentence(engine, monkeypatch):
    path = connect.store_path(str(engine.url))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr(connect, "BUSY_MILLISECONDS", 1)
        second = connect.open_store(str(engine.url))

        with (
            pytest.raises(StoreError, match=f"{path} is locked by another process; close it or try again"),
            connect.write(second),
        ):
            pass
        second.dispose()


def test_readers_see_the_last_commit_while_another_writes(engine):
    with connect.write(engine) as writing, connect.read(engine) as reading:
        writing.execute(insert(datasets).values(name="soon", created=0.0))

        assert reading.execute(datasets.select()).all() == []


def test_a_file_that_is_no_database_is_said_in_one_sentence(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("these are notes, not a database\n" * 100)

    with pytest.raises(StoreError, match=r"notes\.txt is not a Tiebreak store: it is no database"):
        connect.open_store(url_of(path))


def test_a_folder_is_no_store(tmp_path):
    with pytest.raises(StoreError, match=f"the store must be a file, {tmp_path} is a directory"):
        connect.open_store(url_of(tmp_path))


def test_a_store_of_a_newer_version_is_said_in_one_sentence(engine):
    with connect.write(engine) as conn:
        conn.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(StoreError, match=r"was written by a newer Tiebreak .*9999.*; update Tiebreak"):
        connect.open_store(str(engine.url))


def test_a_database_of_something_else_is_not_touched(tmp_path):
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE pairs (id INTEGER PRIMARY KEY, name TEXT)")
        theirs.commit()

    with pytest.raises(StoreError, match=r"theirs\.db is not a Tiebreak store"):
        connect.open_store(url_of(path))

    with closing(sqlite3.connect(path)) as theirs:
        assert [name for (name,) in theirs.execute("SELECT name FROM sqlite_master")] == ["pairs"]


def test_a_store_of_the_first_tables_is_brought_up_to_date_with_what_it_holds(engine):
    load(engine, some(3))
    step_back_to(engine, "0001")
    url = engine.url.render_as_string(hide_password=False)
    with connect.write(engine) as conn:
        killed = "INSERT INTO imports (dataset_id, file, started) SELECT id, 'f', 0 FROM datasets"
        conn.exec_driver_sql(killed)

    upgraded = connect.open_store(url)

    assert load(upgraded, some(4)).added == 1  # the killed import, of which no process is known, is removed before
    assert len(pair_ids(upgraded)) == 4
    upgraded.dispose()


def step_back_to(engine, revision):
    config = Config()
    config.set_main_option("script_location", str(Path(connect.__file__).parent / "migrations"))
    with connect.write(engine) as conn:
        config.attributes["connection"] = conn
        command.downgrade(config, revision)
