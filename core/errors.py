"""One error tree: what the user can mend. Anything else is a bug and shows its traceback."""


class TiebreakError(Exception):
    """One sentence: what is wrong, where, which value, what would be right."""


class BadConfig(TiebreakError):
    """A setting is unknown or outside its range."""


class BadFile(TiebreakError):
    """A file cannot be read as preference pairs."""


class NotFound(TiebreakError):
    """A dataset, labeler, run, pair or backbone that does not exist."""


class Ambiguous(TiebreakError):
    """Several things fit; the sentence lists them."""


class StoreError(TiebreakError):
    """The store is locked, damaged or of another version."""


class RunFailed(TiebreakError):
    """A run cannot go on: no pairs to train on, a full disk, a checkpoint that does not reproduce its canaries."""
