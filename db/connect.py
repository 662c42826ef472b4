"""Opening a store: where it is, its pragmas, its migrations, its transactions."""

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, insert, inspect, make_url, select, text
from sqlalchemy.exc import ArgumentError, DatabaseError, DataError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from core.errors import StoreError
from db.schema import metadata

__all__ = [
    "Connection",
    "insert_many",
    "open_store",
    "read",
    "resolve_url",
    "run_folder",
    "shown",
    "store_path",
    "take_turn",
    "write",
]

DEFAULT_STORE = "sqlite:///.tiebreak/store.db"
BUSY_MILLISECONDS = 5000  # what a person waits for
HEAD = "0005"
_IMPORT_LOCK = 7_133_625  # any number that no one else locks in this database
_RIGHT = "give a path such as .tiebreak/store.db, or postgresql://user@host/name"
_MIGRATIONS = Path(__file__).parent / "migrations"


def resolve_url(option: str | None) -> str:
    """The store's URL: the option, else TIEBREAK_STORE, else `.tiebreak/store.db`; SQLite paths become absolute."""
    given = option or os.environ.get("TIEBREAK_STORE") or DEFAULT_STORE
    if "://" not in given:
        given = f"sqlite:///{given}"
    url = _parsed(given)
    if url.drivername == "postgresql":
        return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    if url.get_backend_name() != "sqlite":
        return given
    if not url.database or url.database == ":memory:":
        raise StoreError(f"a store is a file or a server, got {given}; {_RIGHT}")
    return f"sqlite:///{Path(url.database).expanduser().resolve()}"


def _parsed(given: str) -> URL:
    try:
        url = make_url(given)
        url.get_dialect()
    except ArgumentError:  # no URL at all, or of a kind of database that SQLAlchemy does not know
        raise StoreError(f"a store is a file or a server, got {given!a}; {_RIGHT}") from None
    return url


def store_path(url: str) -> Path | None:
    """The SQLite file; None for a server."""
    parsed = make_url(url)
    return Path(str(parsed.database)) if parsed.get_backend_name() == "sqlite" else None


def shown(url: str) -> str:
    """The store as a person may see it: a path, or a server without its password."""
    return str(store_path(url) or make_url(url).render_as_string())


def run_folder(url: str) -> Path:
    """Where checkpoints, logs and cached features of a store live: beside its file."""
    path = store_path(url)
    if path is None:
        return Path(".tiebreak").resolve() / f"{make_url(url).database}-files"
    return path.parent / f"{path.stem}-files"


def open_store(url: str, *, busy_milliseconds: int | None = None) -> Engine:
    """Open a store, making and migrating it where needed. StoreError says in one sentence what is wrong.

    Args:
        busy_milliseconds: how long a transaction waits for another process to end its own; None: as a person would.
    """
    path = store_path(url)
    if path is not None:
        _make_folder(path)
    try:
        engine = create_engine(url)
    except ModuleNotFoundError as error:
        raise StoreError(
            f"the store {shown(url)} needs the package {error.name}, which is not installed; "
            "get it with: pip install 'tiebreak[postgres]'"
        ) from None
    if path is not None:
        event.listen(engine, "connect", partial(_set_pragmas, busy_milliseconds=busy_milliseconds or BUSY_MILLISECONDS))
    try:
        _migrate(engine)
    except StoreError:
        engine.dispose()
        raise
    except OperationalError as error:
        engine.dispose()
        raise StoreError(_said(url, error)) from None
    except DatabaseError:
        engine.dispose()
        raise StoreError(f"{path or url} is not a Tiebreak store: it is no database") from None
    return engine


@contextmanager
def read(engine: Engine) -> Iterator[Connection]:
    """A connection that only reads."""
    with engine.connect() as conn:
        yield conn


@contextmanager
def write(engine: Engine) -> Iterator[Connection]:
    """A transaction that takes the write lock at once and commits at the end. StoreError if the store stays locked."""
    with engine.connect() as conn:
        try:
            if conn.dialect.name == "sqlite":
                conn.exec_driver_sql("BEGIN IMMEDIATE")
            yield conn
            conn.commit()
        except DataError as error:
            conn.rollback()
            raise StoreError(f"the store {engine.url} cannot keep a text: {error.orig}") from None
        except OperationalError as error:
            conn.rollback()
            raise StoreError(_said(str(engine.url), error)) from None


def take_turn(conn: Connection) -> None:
    """One import or purge at a time within this transaction: what SQLite's write lock does is asked of PostgreSQL."""
    if conn.dialect.name == "postgresql":
        conn.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_IMPORT_LOCK})")


def insert_many(conn: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows of the same columns, values as the driver takes them: an import is half as long this way."""
    if not rows:
        return
    statement = insert(table).compile(dialect=conn.dialect, column_keys=list(rows[0]))
    names = statement.positiontup
    given = [tuple(row[name] for name in names) for row in rows] if names else [dict(row) for row in rows]
    conn.exec_driver_sql(str(statement), given)


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make the folder {path.parent} for the store: {error.strerror}") from None
    if path.is_dir():
        raise StoreError(f"the store must be a file, {path} is a directory")


def _set_pragmas(connection: sqlite3.Connection, _: ConnectionPoolEntry, *, busy_milliseconds: int) -> None:
    # The driver's own transactions begin late, as readers; ours begin in `write`.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout = {busy_milliseconds}",
        "journal_mode = WAL",
        "synchronous = NORMAL",
        # 64 MB: an import touches the same index pages again and again, and each checkpoint writes them out.
        "wal_autocheckpoint = 16000",
        "foreign_keys = ON",
        "mmap_size = 268435456",
        "cache_size = -65536",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _migrate(engine: Engine) -> None:
    if _version(engine) == HEAD:
        return
    from alembic import command  # noqa: PLC0415 - half a second that a current store does not pay
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with write(engine) as conn:
        _refuse_if_foreign(conn, engine)
        config.attributes["connection"] = conn
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise StoreError(f"{engine.url} was written by a newer Tiebreak ({error}); update Tiebreak") from None


def _refuse_if_foreign(conn: Connection, engine: Engine) -> None:
    there = set(inspect(conn).get_table_names())
    # A server's database may be shared with tables of others; a file is not.
    strange = there if engine.dialect.name == "sqlite" else there & set(metadata.tables)
    if strange and "alembic_version" not in there:
        place = store_path(str(engine.url)) or engine.url
        raise StoreError(f"{place} is not a Tiebreak store: it has tables of something else ({min(strange)}, ...)")


def _version(engine: Engine) -> str | None:
    with read(engine) as conn:
        if not engine.dialect.has_table(conn, "alembic_version"):
            return None
        return conn.execute(select(text("version_num")).select_from(text("alembic_version"))).scalar()


def _said(url: str, error: OperationalError) -> str:
    place = shown(url)
    words = str(error.orig)
    if "locked" in words or "busy" in words:
        return f"the store {place} is locked by another process; close it or try again"
    if "readonly" in words or "unable to open" in words:
        return f"the store {place} cannot be written: {words}"
    if "full" in words:
        return f"the disk is full: the store {place} could not be written"
    return f"the store {place} cannot be used: {words}"
