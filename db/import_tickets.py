"""Who may write under an import's number, and whether that process still lives."""

import os
import socket
import time
import uuid
from dataclasses import dataclass
from typing import Any

import psutil
from sqlalchemy import Connection, Engine, Row, update

from core.errors import StoreError
from db.connect import take_turn, write
from db.schema import (
    imports,
)

BATCH_ROWS = 1000  # keeps a transaction under 200 ms on two slow cores
STALE_IMPORT_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right to write under an import's number. The number alone does not give it: SQLite hands it out again."""

    import_id: int
    token: str


class LostTicketError(StoreError):
    """Another process took this import for dead and removes its rows."""


def hold(conn: Connection, ticket: Ticket) -> None:
    """Take the turn to write, prove that the import is still ours, and show that it lives."""
    take_turn(conn)
    ours = (imports.c.id == ticket.import_id) & (imports.c.token == ticket.token) & imports.c.published.is_(None)
    if not conn.execute(update(imports).where(ours).values(started=time.time())).rowcount:
        raise LostTicketError(
            f"the import was silent for more than {STALE_IMPORT_SECONDS:.0f} seconds, was taken for dead and removed; "
            "import the file again"
        )


def take_over(engine: Engine, ticket: Ticket) -> Ticket:
    """From here on the import that wrote the rows, should it live, can write no more."""
    own = Ticket(ticket.import_id, uuid.uuid4().hex)
    with write(engine) as conn:
        hold(conn, ticket)
        values = {"token": own.token, **this_process()}
        conn.execute(update(imports).where(imports.c.id == ticket.import_id).values(**values))
    return own


def is_dead(row: Row[Any], *, older_than: float) -> bool:
    if time.time() - row.started >= older_than:
        return True
    return bool(row.host == socket.gethostname()) and not _is_running(row.pid, row.pid_started)


def _is_running(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 2.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def this_process() -> dict[str, object]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "pid_started": psutil.Process().create_time()}
