"""Letting a labeler label: what would be asked, what it would cost, and the run that asks."""

import dataclasses
import datetime
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import BadConfig
from core.judging import Constitution, LabelerConfig, Mode, Price, Request, Source
from core.labelers import constitution as constitutions_of_files
from core.labelers import labeler_of
from core.labelers.named import config_of
from core.labelers.plan import plan
from core.labelers.prompt import CHARACTERS_PER_TOKEN, render
from core.records import Message, RunKind
from db import connect, constitutions, datasets, pairs, prices, requests, runs
from ui import machine
from ui.processes import Store, tend

ON_DEVICE = {Source.LOCAL, Source.REWARD_MODEL}  # these compute here
DEFAULT_IN_FLIGHT = 8
MOST_IN_FLIGHT = 256
CHUNK = 500  # requests that are planned, and looked up in the store, at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a user asked for; see `tiebreak label`.

    Attributes:
        limit: only so many pairs, in the dataset's order; None: all.
        max_cost: US dollars at which no more is asked; None: no limit.
        retry: ask again what was unparsed, refused or truncated before; what failed on the way is always asked again.
    """

    dataset: str
    config: LabelerConfig
    constitution: Constitution | None
    limit: int | None = None
    max_cost: float | None = None
    in_flight: int = DEFAULT_IN_FLIGHT
    retry: bool = False

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise BadConfig(f"--limit must be at least 1 pair, got {self.limit}")
        if self.max_cost is not None and not self.max_cost > 0:
            raise BadConfig(f"--max-cost must be above 0 US dollars, got {self.max_cost:g}")
        if not 1 <= self.in_flight <= MOST_IN_FLIGHT:
            raise BadConfig(f"in_flight must be from 1 to {MOST_IN_FLIGHT} requests, got {self.in_flight}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a run would ask, before it asks anything.

    Attributes:
        num_answered: requests whose answers are there already.
        tokens_in: of the requests still to ask, from their characters; None where no tokens are used.
        price: None where it is unknown.
        cost: US dollars, without the replies where their length cannot be known; None where the price is unknown.
        sample: one request as it would be sent; empty for labelers that read no words.
    """

    labeler: str
    num_pairs: int
    num_requests: int
    num_answered: int
    tokens_in: int | None
    tokens_out_at_most: int | None
    price: Price | None
    cost_at_least: float | None
    cost_at_most: float | None
    sample: tuple[Message, ...]


def asked(  # noqa: PLR0913 - one keyword for each option of the command
    *,
    dataset: str,
    labeler: str,
    constitution: Path | Constitution | None = None,
    settings: Mapping[str, object],
    limit: int | None = None,
    max_cost: float | None = None,
    in_flight: int = DEFAULT_IN_FLIGHT,
    retry: bool = False,
) -> Asked:
    """Everything that is wrong with a wish is said here, before anything is asked or stored."""
    config = config_of(labeler, settings)
    read = None
    if config.follows_principles:
        read = constitution if isinstance(constitution, Constitution) else _of_file(constitution)
    elif constitution is not None:
        raise BadConfig(f"labeler {config.name} follows no constitution; leave --constitution out")
    return Asked(
        dataset=dataset,
        config=config,
        constitution=read,
        limit=limit,
        max_cost=max_cost,
        in_flight=in_flight,
        retry=retry,
    )


def _of_file(file: Path | None) -> Constitution:
    return constitutions_of_files.default() if file is None else constitutions_of_files.read(file)


def constitution_text(constitution: Constitution | None = None) -> str:
    """A constitution as it is edited; left out: the default one."""
    return constitutions_of_files.write(constitution or constitutions_of_files.default())


def constitution_of_text(text: str) -> Constitution:
    """What an editor holds. Raises BadConfig in one sentence."""
    return constitutions_of_files.parse(text, name="mine")


def changes(before: Constitution, after: Constitution) -> list[constitutions_of_files.Change]:
    """Principles that differ between two versions."""
    return constitutions_of_files.compare(before, after)


def newest_run(store: Store, dataset_id: int) -> runs.Run | None:
    """The newest run that labels a dataset, in whatever state."""
    with connect.read(store.engine) as conn:
        found = runs.all(conn, kind=RunKind.LABEL, dataset_id=dataset_id, limit=1)
    return found[0] if found else None


def forecast(store: Store, wish: Asked) -> Forecast:
    """What a run would ask; makes no call and keeps nothing."""
    config = wish.config
    num_requests, num_answered, characters = 0, 0, 0
    sample: tuple[Message, ...] = ()
    with connect.read(store.engine) as conn:
        ids = pair_ids_of(conn, datasets.get(conn, wish.dataset).id, limit=wish.limit)
        price = prices.get(conn, config.model)
        for chunk in _chunks(plan(pairs.texts(conn, ids), config, wish.constitution)):
            known = requests.answered(conn, [request.key for _, request in chunk])
            num_requests, num_answered = num_requests + len(chunk), num_answered + len(known)
            if config.follows_principles:
                sample = sample or render(chunk[0][1], config.mode)
                characters += sum(num_characters(request, config) for _, request in chunk if request.key not in known)
    tokens_in = round(characters / CHARACTERS_PER_TOKEN)
    tokens_out = (num_requests - num_answered) * _MOST_TOKENS_OUT[config.mode](config)
    return Forecast(
        labeler=config.name,
        num_pairs=len(ids),
        num_requests=num_requests,
        num_answered=num_answered,
        tokens_in=tokens_in if config.follows_principles else None,
        tokens_out_at_most=tokens_out if config.follows_principles else None,
        price=price,
        cost_at_least=None if price is None else price.of(tokens_in, 0),
        cost_at_most=None if price is None else price.of(tokens_in, tokens_out),
        sample=sample,
    )


def start_labels(store: Store, wish: Asked) -> int:
    """Queue a run that asks; its number. A budget without a price cannot be kept, and is refused."""
    config = wish.config
    on_device = config.source in ON_DEVICE
    if not on_device:
        labeler_of(config)  # a missing key and settings that make no sense are said before a run is queued
    with connect.write(store.engine) as conn:
        dataset = datasets.get(conn, wish.dataset)
        if wish.max_cost is not None and config.follows_principles and prices.get(conn, config.model) is None:
            raise BadConfig(
                f"--max-cost needs the price of {config.model}, which is not known; "
                f"give it with: tiebreak prices {config.model} --in USD --out USD (for a million tokens)"
            )
        kept = None if wish.constitution is None else constitutions.add(conn, wish.constitution)
        run_id = runs.add(
            conn,
            kind=RunKind.LABEL,
            dataset_id=dataset.id,
            labeler=config.name,
            config={
                "labeler": json.loads(json.dumps(dataclasses.asdict(config))),
                "constitution": None if kept is None else kept.id,
                "limit": wish.limit,
                "max_cost": wish.max_cost,
                "in_flight": wish.in_flight,
                "retry": wish.retry,
            },
            # A queue of its own where it can: who waits for a server keeps no device busy.
            device=machine.device_named("auto") if on_device else f"labeler {config.name}",
        )
    tend(store)
    return run_id


def set_price(
    store: Store, model: str, *, tokens_in: float, tokens_out: float, tokens_cached: float | None = None
) -> None:
    """Keep what a model costs as of today, US dollars for a million tokens."""
    price = Price(
        model=model,
        tokens_in=tokens_in,
        tokens_cached=tokens_in if tokens_cached is None else tokens_cached,
        tokens_out=tokens_out,
        as_of=datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
    )
    with connect.write(store.engine) as conn:
        prices.put(conn, price)


def pair_ids_of(conn: connect.Connection, dataset_id: int, *, limit: int | None) -> list[int]:
    """The pairs that a run asks about, in the dataset's order."""
    return [member.pair_id for member in pairs.members(conn, dataset_id, limit=limit)]


def _chunks(planned: Iterator[tuple[int, Request]]) -> Iterator[Sequence[tuple[int, Request]]]:
    while chunk := list(itertools.islice(planned, CHUNK)):
        yield chunk


def num_characters(request: Request, config: LabelerConfig) -> int:
    """Of the messages of a request."""
    return sum(len(message.content) for message in render(request, config.mode))


def most_it_could_cost(request: Request, config: LabelerConfig, price: Price) -> float:
    """US dollars of one request whose reply is as long as it may be; its prompt's tokens are estimated."""
    tokens_in = num_characters(request, config) / CHARACTERS_PER_TOKEN
    return price.of(tokens_in, _MOST_TOKENS_OUT[config.mode](config))


_MOST_TOKENS_OUT: dict[Mode, Callable[[LabelerConfig], int]] = {
    Mode.LOG_PROB: lambda _: 1,
    Mode.VERDICT: lambda config: config.max_output_tokens,
    Mode.REASON: lambda config: config.max_output_tokens + 1,
}
