"""A published checkpoint where the user wants it, as it is or merged, proven again there."""

import shutil
from pathlib import Path

from core.engine.proof import Prover
from core.errors import NotFound, RunFailed


def export(published: Path, destination: Path, *, merge: bool = False) -> bool:
    """Write beside the destination, rename, and reload it in a fresh process; whether an adapter was merged.

    Without `merge` an adapter stays one, and needs its backbone. What has no adapter is copied either way. Raises
    RunFailed if the destination holds files or cannot be written; nothing is left behind then.
    """
    if not published.is_dir():
        raise NotFound(f"the checkpoint folder is gone: {published}")
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise RunFailed(f"{destination} is there and not empty; name a folder that is new or empty")
    merges = merge and (published / "adapter_config.json").exists()
    if merges:
        from core.engine import checkpoint  # noqa: PLC0415 - a copy needs no torch

        checkpoint.merge(published, destination)
    else:
        _copy(published, destination)
    Prover(mean_pooled=(destination / "modules.json").exists()).prove(destination)
    return merges


def _copy(published: Path, destination: Path) -> None:
    beside = destination.with_name(destination.name + ".partial")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(published, beside)
        beside.replace(destination)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(beside, ignore_errors=True)
        words = getattr(error, "strerror", None) or error
        raise RunFailed(f"the checkpoint could not be written to {destination}: {words}") from None
