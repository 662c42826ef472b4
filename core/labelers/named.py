"""What `--labeler NAME` means: `source:model` with settings beside it."""

from collections.abc import Mapping

from core.config import settings_of
from core.errors import BadConfig
from core.judging import LabelerConfig, Source


def config_of(name: str, settings: Mapping[str, object]) -> LabelerConfig:
    """The config of a labeler that can be asked. BadConfig in one sentence if the name means none."""
    source, _, model = name.partition(":")
    if source not in set(Source):
        raise BadConfig(
            f"labeler {name!r} cannot be asked: name one as source:model, where source is one of {', '.join(Source)} "
            "(openai:gpt-4.1-mini, rule:longest, simulated)"
        )
    return settings_of(LabelerConfig, {"source": source, "model": model, **settings})
