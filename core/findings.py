"""What a check finds before a run is started: pass, warn or fail, in one sentence, and what to do about it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

# A slice is named in a sentence if it has this many times the share of all pairs, and at least so many of them.
CONCENTRATED, LEAST_OF_A_SLICE = 1.5, 3
_MOST_NAMED, _MOST_KEPT = 3, 40


class Level(StrEnum):
    """In the order in which findings are read."""

    FAIL = "fail"  # training would be refused, or its rewards wrong
    WARN = "warn"
    PASS = "pass"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """How many pairs of a slice (`subset code`, `5 turns or more`) are concerned, of how many there are in it."""

    name: str
    num: int
    num_all: int

    @property
    def share(self) -> float:
        return self.num / self.num_all


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found.

    Attributes:
        check: its name; never changes.
        what_to_do: empty where it passes.
        numbers: what was counted, by name.
        slices: where it was found, the largest share first.
    """

    check: str
    level: Level
    sentence: str
    what_to_do: str = ""
    numbers: Mapping[str, float | int | str | None] = field(default_factory=dict)
    slices: tuple[Slice, ...] = ()


def passes(check: str, sentence: str, *, numbers: Mapping[str, float | int | str | None] | None = None) -> Finding:
    """A finding of a check that found nothing wrong."""
    return Finding(check=check, level=Level.PASS, sentence=sentence, numbers=numbers or {})


def by_level(findings: Iterable[Finding]) -> list[Finding]:
    """Fails first, then warnings; else in their order."""
    return sorted(findings, key=lambda one: list(Level).index(one.level))


def slices_of(concerned: Sequence[bool], names: Sequence[Sequence[str]]) -> tuple[Slice, ...]:
    """Slices that hold a concerned pair, the largest share first; `names` are those that each pair belongs to."""
    everywhere = Counter(name for mine in names for name in mine)
    there = Counter(name for is_one, mine in zip(concerned, names, strict=True) if is_one for name in mine)
    found = [Slice(name=name, num=num, num_all=everywhere[name]) for name, num in there.items()]
    return tuple(sorted(found, key=lambda one: (-one.share, -one.num, one.name))[:_MOST_KEPT])


def concentration(slices: Sequence[Slice], *, num: int, num_all: int) -> str:
    """Where a finding is frequent, as the end of a sentence; empty where it is everywhere alike."""
    dense = [
        one
        for one in slices
        if one.num >= LEAST_OF_A_SLICE and one.num_all < num_all and one.share >= CONCENTRATED * num / num_all
    ]
    named = [f"{one.name} ({100 * one.share:.0f} %)" for one in dense[:_MOST_NAMED]]
    return f"; most in {', '.join(named)}" if named else ""


def of_pairs(num: int, num_all: int) -> str:
    """Such as `312 of 1,352 pairs (23.1 %)`."""
    share = f" ({100 * num / num_all:.1f} %)" if num_all else ""
    return f"{num:,} of {num_all:,} pair{'' if num_all == 1 else 's'}{share}"
