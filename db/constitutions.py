"""Constitutions: each text once, numbered under its name, never changed."""

import json
import time
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select

from core.errors import NotFound
from core.judging import Constitution, Principle
from db.names import check_text
from db.schema import constitutions, principles


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredConstitution:
    """One version, with when it was first kept in seconds since the epoch."""

    id: int
    version: int
    created: float
    constitution: Constitution


def add(conn: Connection, constitution: Constitution) -> StoredConstitution:
    """Keep a constitution; one that says the same is there already, under whatever name, is that one."""
    check_text(constitution.name, "a constitution's name")
    digest = bytes.fromhex(constitution.hash)
    found = conn.execute(select(constitutions.c.id).where(constitutions.c.hash == digest)).scalar()
    if found is not None:
        return get(conn, int(found))
    last = select(func.max(constitutions.c.version)).where(constitutions.c.name == constitution.name)
    row = {
        "name": constitution.name,
        "version": (conn.execute(last).scalar() or 0) + 1,
        "hash": digest,
        "text": json.dumps([[one.id, one.text, one.weight] for one in constitution.principles], ensure_ascii=False),
        "created": time.time(),
    }
    made = int(conn.execute(insert(constitutions).values(**row).returning(constitutions.c.id)).scalar_one())
    conn.execute(
        insert(principles),
        [
            {"constitution_id": made, "position": place, "name": one.id, "text": one.text, "weight": one.weight}
            for place, one in enumerate(constitution.principles, start=1)
        ],
    )
    return get(conn, made)


def get(conn: Connection, constitution_id: int) -> StoredConstitution:
    row = conn.execute(select(constitutions).where(constitutions.c.id == constitution_id)).one_or_none()
    if row is None:
        raise NotFound(f"no constitution {constitution_id} in the store")
    listed = select(principles).where(principles.c.constitution_id == row.id).order_by(principles.c.position)
    return StoredConstitution(
        id=row.id,
        version=row.version,
        created=row.created,
        constitution=Constitution(
            name=row.name,
            principles=tuple(Principle(id=one.name, text=one.text, weight=one.weight) for one in conn.execute(listed)),
        ),
    )


def all(conn: Connection) -> list[StoredConstitution]:  # noqa: A001 - reads as constitutions.all
    """By name, the newest version of each first."""
    ids = select(constitutions.c.id).order_by(constitutions.c.name, constitutions.c.version.desc())
    return [get(conn, constitution_id) for constitution_id in conn.execute(ids).scalars().all()]
