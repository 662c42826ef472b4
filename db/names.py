"""What may name a dataset, a labeler or a run: text that a store keeps and a terminal shows."""

import unicodedata

from core.errors import BadConfig

MOST_CHARACTERS = 200
_UNFIT = {"Cc": "a control character", "Cs": "half a surrogate pair, as of bytes that are not UTF-8"}


def check_text(name: str, what: str) -> None:
    """BadConfig in one sentence if a name is blank, too long or holds what nobody can type or keep."""
    if not name.strip():
        raise BadConfig(f"{what} must not be blank, got {name!r}")
    if len(name) > MOST_CHARACTERS:
        raise BadConfig(f"{what} must have at most {MOST_CHARACTERS} characters, got {len(name):,}")
    for character in name:
        unfit = _UNFIT.get(unicodedata.category(character))
        if unfit is not None:
            raise BadConfig(f"{what} must be plain text, got {name!a}, which holds {unfit}")
