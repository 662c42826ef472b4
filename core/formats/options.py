"""How a file is to be read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.records import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What the user says about a file.

    Attributes:
        format: a layout's name; None: detected from the first row.
        mapping: our name -> the file's column, such as {"prompt": "question"}.
        labeler: who stands behind the preferences of layouts that name nobody.
        kind: who that labeler is.
    """

    format: str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    labeler: str = "imported"
    kind: Kind = Kind.AI
