"""A copy of a published checkpoint where the user wants it, proven there again."""

import shutil
from pathlib import Path

from core.engine.proof import Prover
from core.errors import NotFound, RunFailed


def export(published: Path, destination: Path) -> None:
    """Copy beside the destination, rename, and reload it in a fresh process.

    Published checkpoints hold merged weights already, so there is nothing to merge. Raises RunFailed if the destination
    holds files or cannot be written; nothing is left behind then.
    """
    if not published.is_dir():
        raise NotFound(f"the checkpoint folder is gone: {published}")
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise RunFailed(f"{destination} is there and not empty; name a folder that is new or empty")
    beside = destination.with_name(destination.name + ".partial")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(published, beside)
        beside.replace(destination)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(beside, ignore_errors=True)
        words = getattr(error, "strerror", None) or error
        raise RunFailed(f"the checkpoint could not be written to {destination}: {words}") from None
    Prover(mean_pooled=(destination / "modules.json").exists()).prove(destination)
