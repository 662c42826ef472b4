"""Constitutions as files: read, written, compared."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from core.errors import BadConfig, NotFound
from core.judging import Constitution, Principle

DEFAULT = Path(__file__).with_name("constitution.yaml")
_KEYS = {"name", "principles"}
_PRINCIPLE_KEYS = {"id", "text", "weight"}


def default() -> Constitution:
    """Helpful, honest, harmless, follows the instruction, no longer than needed; written for Tiebreak."""
    return read(DEFAULT)


def read(file: Path) -> Constitution:
    """A constitution of a YAML file; it is named by the file where it names none. Raises BadConfig, NotFound."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"constitution file {file} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"constitution file {file} cannot be read: {error}") from None
    return parse(text, name=file.stem)


def parse(text: str, *, name: str) -> Constitution:
    """A constitution of YAML: a mapping with principles, or only their list; a principle may be only its text."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        words = " ".join(str(error).split())
        raise BadConfig(f"constitution {name!r} is not YAML: {words}") from None
    if isinstance(content, list):
        content = {"principles": content}
    if not isinstance(content, dict) or not isinstance(content.get("principles"), list):
        raise BadConfig(f"constitution {name!r} must have a list of principles, each with id, text and weight")
    _require_known(set(content) - _KEYS, "constitution", _KEYS)
    listed = enumerate(content["principles"], start=1)
    return Constitution(
        name=str(content.get("name") or name), principles=tuple(_principle(one, number) for number, one in listed)
    )


def _principle(content: object, number: int) -> Principle:
    if isinstance(content, str):
        return Principle(id=str(number), text=content.strip())
    if not isinstance(content, dict):
        raise BadConfig(f"principle {number} must be a text or have id, text and weight, got {content!r}")
    _require_known(set(content) - _PRINCIPLE_KEYS, f"principle {number}", _PRINCIPLE_KEYS)
    weight = content.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise BadConfig(f"the weight of principle {number} must be a number, got {weight!r}")
    return Principle(
        id=str(content.get("id", number)).strip(), text=str(content.get("text") or "").strip(), weight=float(weight)
    )


def _require_known(unknown: set[object], where: str, known: set[str]) -> None:
    if unknown:
        named = ", ".join(sorted(map(str, unknown)))
        raise BadConfig(f"unknown key in {where}: {named}; known keys are {', '.join(sorted(known))}")


def write(constitution: Constitution) -> str:
    """YAML that `parse` reads as the same constitution."""
    principles = [{"id": one.id, "weight": one.weight, "text": one.text} for one in constitution.principles]
    content = {"name": constitution.name, "principles": principles}
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One principle in an older and a newer version; None where it is not there."""

    id: str
    before: Principle | None
    after: Principle | None

    @property
    def kind(self) -> str:
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "changed"


def compare(before: Constitution, after: Constitution) -> list[Change]:
    """Principles that differ between two versions, in the newer one's order, then those removed."""
    older = {one.id: one for one in before.principles}
    newer = {one.id: one for one in after.principles}
    ids = [*newer, *(one for one in older if one not in newer)]
    return [
        Change(id=one, before=older.get(one), after=newer.get(one)) for one in ids if older.get(one) != newer.get(one)
    ]
