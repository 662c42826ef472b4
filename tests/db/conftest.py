import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from db import connect
from db.schema import metadata


def _engines() -> list[str]:
    return ["sqlite", "postgresql"] if os.environ.get("TIEBREAK_TEST_POSTGRES") else ["sqlite"]


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite store, migrated once for all tests."""
    path = tmp_path_factory.mktemp("empty") / "store.db"
    connect.open_store(connect.resolve_url(str(path))).dispose()
    return path


@pytest.fixture
def only_sqlite(engine: Engine) -> None:
    """For what is SQLite's own: its file, its pragmas, its index of words."""
    if engine.dialect.name != "sqlite":
        pytest.skip("this is about SQLite's own file, pragmas or index of words")


@pytest.fixture(params=_engines())
def engine(request: pytest.FixtureRequest, tmp_path: Path, empty_store: Path) -> Iterator[Engine]:
    """An empty store: SQLite, and PostgreSQL where TIEBREAK_TEST_POSTGRES names a server."""
    if request.param == "sqlite":
        shutil.copy(empty_store, tmp_path / "store.db")
        made = connect.open_store(connect.resolve_url(str(tmp_path / "store.db")))
        yield made
    else:
        made = connect.open_store(os.environ["TIEBREAK_TEST_POSTGRES"])
        yield made
        with connect.write(made) as conn:
            names = ", ".join(table.name for table in metadata.sorted_tables)
            conn.exec_driver_sql(f"DROP TABLE {names}, alembic_version CASCADE")
    made.dispose()
