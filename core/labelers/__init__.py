"""Who says which response is better: labelers that are asked, by their config."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from core.errors import BadConfig
from core.judging import Attempt, LabelerConfig, Mode, Request, Source
from core.labelers.rules import Rule
from core.labelers.simulated import Simulated


class Labeler(Protocol):
    """Anything that can be asked.

    Attributes:
        mode: how its replies are read.
    """

    @property
    def mode(self) -> Mode: ...

    def check(self) -> None:
        """Whether it can be asked at all, before anything is; costs nothing. Raises TiebreakError."""

    def attempts(self, requests: Iterable[Request]) -> Iterator[Attempt]:
        """Ask; every call comes back as an attempt, in the order in which calls end, and the last of a request says so.

        Requests are pulled only when there is room for them: who stops giving them (a budget, a stop) has at most what
        is in flight still to come. Raises TiebreakError where nothing can be asked at all.
        """


def labeler_of(config: LabelerConfig, *, in_flight: int = 8, device: str = "auto") -> Labeler:
    """The labeler that a config describes; what it needs is imported here. Raises BadConfig.

    Args:
        in_flight: requests at a time, of a labeler that waits for a server.
        device: of a labeler that computes here.
    """
    if config.source is Source.OPENAI:
        from core.labelers.openai_api import ChatServer  # noqa: PLC0415 - a second of import

        return ChatServer(config, most_in_flight=in_flight)
    if config.source is Source.RULE:
        return Rule(rule=config.model, keyword=config.keyword, seed=config.seed)
    if config.source is Source.SIMULATED:
        return Simulated(
            accuracy=config.accuracy,
            position_bias=config.position_bias,
            length_bias=config.length_bias,
            tie_rate=config.tie_rate,
            failure_rate=config.failure_rate,
            mode=config.mode,
        )
    if config.source is Source.LOCAL:
        from core.labelers.local_judge import LocalJudge  # noqa: PLC0415 - torch

        return LocalJudge(config, device=device)
    if config.source is Source.REWARD_MODEL:
        from core.labelers.reward_model import RewardModelLabeler  # noqa: PLC0415 - torch

        return RewardModelLabeler(config, device=device)
    raise BadConfig(f"labelers of source {config.source} cannot be asked yet")
