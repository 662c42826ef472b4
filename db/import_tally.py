"""What an import has counted so far."""

from collections import Counter
from dataclasses import dataclass, field

from core.records import BadRow, GivenVerdict, Kind
from db.import_tickets import Ticket


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRows:
    """All bad rows of one kind: how many, and the first."""

    kind: str
    count: int
    first: BadRow


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportCounts:
    """What an import did so far.

    Attributes:
        read: pairs read, identical ones and bad rows left aside.
        added: pairs new in the dataset.
        relabeled: pairs that the dataset, or the file above them, has already and that brought a new vote.
        duplicates: pairs that brought neither; read is the sum of the three.
        conflicts: pairs on which one labeler's votes contradict each other in the same or an unknown order.
        skipped: bad rows left out.
    """

    dataset: str
    read: int = 0
    added: int = 0
    relabeled: int = 0
    duplicates: int = 0
    identical: int = 0
    conflicts: int = 0
    skipped: int = 0
    bad: tuple[BadRows, ...] = ()


@dataclass(slots=True, kw_only=True)
class Tally:
    dataset: str
    file: str
    ticket: Ticket
    dataset_id: int
    read: int = 0
    added: int = 0
    relabeled: int = 0
    duplicates: int = 0
    identical: int = 0
    conflicts: set[tuple[int, int]] = field(default_factory=set)
    verdicts: list[tuple[int, GivenVerdict]] = field(default_factory=list)  # by pair_id; written when it is published
    bad: Counter[str] = field(default_factory=Counter)
    first_bad: dict[str, BadRow] = field(default_factory=dict)
    labelers: dict[tuple[str, Kind], int] = field(default_factory=dict)
    # Lines, and places in a group, whose `dataset:line` names a pair of another file.
    lines_taken: set[tuple[int, int | None]] = field(default_factory=set)

    @property
    def import_id(self) -> int:
        return self.ticket.import_id

    def refuse(self, row: BadRow) -> None:
        self.bad[row.kind] += 1
        self.first_bad.setdefault(row.kind, row)

    def counts(self) -> ImportCounts:
        bad = tuple(BadRows(kind=kind, count=n, first=self.first_bad[kind]) for kind, n in self.bad.most_common())
        return ImportCounts(
            dataset=self.dataset,
            read=self.read,
            added=self.added,
            relabeled=self.relabeled,
            duplicates=self.duplicates,
            identical=self.identical,
            conflicts=len(self.conflicts),
            skipped=sum(self.bad.values()),
            bad=bad,
        )
