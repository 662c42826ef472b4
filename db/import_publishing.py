"""The transaction after which readers see all of an import, and the labels that follow it."""

import time

from sqlalchemy import Connection, Engine, delete, select, update

from core.records import Consistency
from db import labelers as labeler_rows
from db import verdicts
from db.connect import read, take_turn, write
from db.datasets import touch
from db.import_sharing import late_pairs, own_what_is_shared
from db.import_tally import Tally
from db.import_tickets import hold
from db.labels import count_labels, rebuild
from db.schema import (
    datasets,
    imports,
    late_labels,
    memberships,
)


def publish(engine: Engine, tally: Tally) -> None:
    while not _publish_if_counted(engine, tally):
        pass
    before = len(tally.conflicts)
    tally.conflicts |= derive_late(engine, tally.import_id)
    if len(tally.conflicts) > before:
        with write(engine) as conn:
            found = imports.c.id == tally.import_id
            conn.execute(update(imports).where(found).values(conflicts=len(tally.conflicts)))


def _publish_if_counted(engine: Engine, tally: Tally) -> bool:
    """The one transaction after which all is seen; False if the dataset changed while its labels were counted."""
    with read(engine) as conn:
        version = _data_version(conn, tally.dataset_id)
        num_labels = count_labels(conn, tally.dataset_id, including=tally.import_id)
    counts = tally.counts()
    with write(engine) as conn:
        hold(conn, tally.ticket)
        if _data_version(conn, tally.dataset_id) != version:
            return False
        own_what_is_shared(conn, tally.import_id)
        conn.execute(
            update(imports)
            .where(imports.c.id == tally.import_id)
            .values(
                published=time.time(),
                read=counts.read,
                added=counts.added,
                duplicates=counts.duplicates,
                identical=counts.identical,
                conflicts=counts.conflicts,
                skipped=counts.skipped,
            )
        )
        conn.execute(
            update(datasets)
            .where(datasets.c.id == tally.dataset_id)
            .values(
                removed=None, num_pairs=datasets.c.num_pairs + tally.added, data_version=datasets.c.data_version + 1
            )
        )
        labeler_rows.store_counts(conn, tally.dataset_id, num_labels)
        verdicts.bring_back(conn, tally.verdicts)
        # The first of the late labels at once: nobody sees a short file's votes without them.
        rebuild(conn, late_pairs(conn, tally.import_id, after=0))
    return True


def _data_version(conn: Connection, dataset_id: int) -> int:
    return int(conn.execute(select(datasets.c.data_version).where(datasets.c.id == dataset_id)).scalar_one())


def derive_late(engine: Engine, import_id: int) -> set[tuple[int, int]]:
    """Labels of pairs that were visible before, in short transactions; the conflicts, as (pair, labeler).

    What is owed stands in the store until all is done: a killed import's rest is finished at the next start.
    """
    conflicts: set[tuple[int, int]] = set()
    holding: set[int] = set()
    after = 0
    while True:
        with write(engine) as conn:
            take_turn(conn)
            chunk = late_pairs(conn, import_id, after=after)
            if not chunk:
                break
            for pair_id, labeler_id, label in rebuild(conn, chunk):
                if label.consistency is Consistency.REPEAT_SPLIT:
                    conflicts.add((pair_id, labeler_id))
            holders = select(memberships.c.dataset_id).where(memberships.c.pair_id.in_(chunk)).distinct()
            holding |= set(conn.execute(holders).scalars())
            conn.execute(update(imports).where(imports.c.id == import_id).values(started=time.time()))
        after = chunk[-1]
    for dataset_id in holding:
        count_again(engine, dataset_id)
    if after:
        with write(engine) as conn:
            conn.execute(delete(late_labels).where(late_labels.c.import_id == import_id))
    return conflicts


def count_again(engine: Engine, dataset_id: int) -> None:
    """Store how many labels each labeler has in a dataset, after labels were derived."""
    while True:
        with read(engine) as conn:
            version = _data_version(conn, dataset_id)
            num_labels = count_labels(conn, dataset_id)
        with write(engine) as conn:
            take_turn(conn)
            if _data_version(conn, dataset_id) == version:
                labeler_rows.store_counts(conn, dataset_id, num_labels)
                touch(conn, dataset_id)
                return
