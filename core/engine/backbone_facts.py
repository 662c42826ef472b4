"""What tells backbones apart beside their accuracy: size, context, licence, and what training them would take."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
import yaml
from huggingface_hub.repocard import metadata_load

from core.config import EMBEDDED_BACKBONE, Method, TrainConfig
from core.engine.backbone import MINILM_LICENCE
from core.engine.estimate import NotEstimated, estimate, workload_of_texts
from core.engine.model import Loaded
from core.engine.reader import architecture_of, positions_of
from core.records import SnapshotPair

_MOST_LETTERS = 60  # of a licence's first line


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Estimated for one training run."""

    minutes: float
    memory: int  # bytes at the fullest moment


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneFacts:
    """None is unknown.

    Attributes:
        parameters: of the backbone, without a head.
        context: tokens it takes at most.
        licence: as its folder names it.
    """

    parameters: int
    context: int | None
    licence: str | None
    lora: Cost | None
    full: Cost | None


def facts_of(loaded: Loaded, config: TrainConfig, pairs: list[SnapshotPair]) -> BackboneFacts:
    """Of a loaded backbone, trained on these pairs with the other settings of `config` by lora and by full."""
    costs = {
        method: _cost(replace(config, method=method), pairs, loaded.device) for method in (Method.LORA, Method.FULL)
    }
    return BackboneFacts(
        parameters=sum(parameter.numel() for parameter in loaded.model.backbone.parameters()),
        context=positions_of(architecture_of(config.backbone)),
        licence=licence_of(loaded.backbone.name, Path(loaded.backbone.path)),
        lora=costs[Method.LORA],
        full=costs[Method.FULL],
    )


def _cost(config: TrainConfig, pairs: list[SnapshotPair], device: torch.device) -> Cost | None:
    try:
        wanted = estimate(config, workload_of_texts(config, pairs), device)
    except NotEstimated:
        return None
    return Cost(minutes=wanted.seconds / 60, memory=wanted.memory.total)


def licence_of(name: str, folder: Path) -> str | None:
    """What the model card in a backbone's folder names, else the first line of its LICENSE; never guessed."""
    if name == EMBEDDED_BACKBONE:
        return MINILM_LICENCE
    return _licence_of_card(folder / "README.md") or _first_line(folder)


def _licence_of_card(card: Path) -> str | None:
    try:
        named = metadata_load(card) or {}
    except (OSError, ValueError, yaml.YAMLError):  # no card, or one that says nothing that can be read
        return None
    licence = named.get("license")
    if licence == "other":  # the hub's word for a licence that it has no name for
        licence = named.get("license_name") or licence
    several = licence if isinstance(licence, list) else [licence]
    return ", ".join(str(one) for one in several if one) or None


def _first_line(folder: Path) -> str | None:
    for file in sorted(folder.glob("LICEN[SC]E*")):
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n") if file.is_file() else []
        if said := next((line.strip() for line in lines if line.strip()), None):
            return said[:_MOST_LETTERS]
    return None
