"""The run in which a labeler labels: plan, reserve, ask, keep each answer at once, add the votes up."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.config import settings_of
from core.errors import RunFailed
from core.judging import Answer, Attempt, Constitution, LabelerConfig, Price, Request, Status, priced
from core.labelers import Labeler, labeler_of, parse
from core.labelers.plan import num_requests_per_pair, plan, version_of
from core.records import Progress
from db import connect, constitutions, labelers, pairs, prices, requests, runs
from ui.labeling import CHUNK, ON_DEVICE, pair_ids_of
from ui.processes import Store

PILOT = 20  # priced requests after which the whole cost is forecast
_LABEL_SECONDS = 2.0  # how far labels may lag behind their votes while a run goes
_AGAIN = (Status.UNPARSED, Status.REFUSED, Status.TRUNCATED)


@dataclass(kw_only=True)
class Labeling:
    """One run that labels. Pull its progress; `stop` asks nothing more, and what is in flight is still kept."""

    store: Store
    run: runs.Run
    why_stopped: str | None = None
    _config: LabelerConfig = field(init=False)
    _labeler: Labeler = field(init=False)
    _labeler_id: int = field(init=False)
    _constitution: Constitution | None = field(init=False, default=None)
    _price: Price | None = field(init=False)
    _waiting: dict[str, Request] = field(init=False, default_factory=dict)
    _touched: set[int] = field(init=False, default_factory=set)
    _pair_of: dict[str, int] = field(init=False, default_factory=dict)
    _spent: float = field(init=False, default=0.0)
    _costs: list[float] = field(init=False, default_factory=list)
    _counts: dict[str, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        wish: Mapping[str, Any] = self.run.config
        self._config = settings_of(LabelerConfig, wish["labeler"])
        self._labeler = labeler_of(
            self._config,
            in_flight=int(wish["in_flight"]),
            device=self.run.device if self._config.source in ON_DEVICE else "cpu",
        )
        with connect.write(self.store.engine) as conn:
            kept = None if wish["constitution"] is None else constitutions.get(conn, int(wish["constitution"]))
            self._constitution = None if kept is None else kept.constitution
            self._labeler_id = labelers.asked(
                conn,
                self._config.name,
                version_of(self._config, self._constitution),
                config=wish["labeler"],
                constitution_id=None if kept is None else kept.id,
            )
            self._price = prices.get(conn, self._config.model)
            self._spent = requests.spent(conn, self.run.id).cost  # a resumed run goes on with its budget

    def stop(self, why: str) -> None:
        self.why_stopped = self.why_stopped or why

    def steps(self) -> Iterator[Progress]:
        """Ask until all is answered, and yield how far it is after each answer."""
        self._labeler.check()
        with connect.read(self.store.engine) as conn:
            ids = pair_ids_of(conn, self._dataset_id, limit=self._limit)
        if not ids:
            raise RunFailed("the dataset has no pair to label")
        total = len(ids) * num_requests_per_pair(self._config, self._constitution)
        labeled_at = time.monotonic()
        try:
            for attempt in self._labeler.attempts(self._requests(ids)):
                self._keep(priced(attempt, self._price))
                if time.monotonic() - labeled_at > _LABEL_SECONDS:
                    self._add_up(counted=False)
                    labeled_at = time.monotonic()
                yield self._progress(total)
        finally:
            self._touched |= set(ids)  # also those whose votes an earlier run left without a label
            self._add_up(counted=True)
            with connect.write(self.store.engine) as conn:
                requests.release(conn, self.run.id)

    def metrics(self) -> dict[str, object]:
        with connect.read(self.store.engine) as conn:
            spent = requests.spent(conn, self.run.id)
        return {
            "labeler_version": version_of(self._config, self._constitution),
            "num_attempts": spent.num_attempts,
            "tokens_in": spent.tokens_in,
            "tokens_out": spent.tokens_out,
            "cost": None if self._price is None and self._config.follows_principles else spent.cost,
            "num_unpriced": spent.num_unpriced,
            "answers": spent.by_status,
            "num_answered_before": self._counts.get("answered", 0),
            "num_failed_before": self._counts.get("failed", 0),
            "num_asked_elsewhere": self._counts.get("elsewhere", 0),
            "why_stopped": self.why_stopped,
        }

    @property
    def _dataset_id(self) -> int:
        if self.run.dataset_id is None:
            raise RunFailed(f"run {self.run.id} names no dataset")
        return self.run.dataset_id

    @property
    def _limit(self) -> int | None:
        limit = self.run.config["limit"]
        return None if limit is None else int(str(limit))

    def _requests(self, ids: list[int]) -> Iterator[Request]:
        """Those that nobody has asked, one by one, until a stop or the budget says no."""
        again = (Status.FAILED, *(_AGAIN if self.run.config["retry"] else ()))
        at_once = max(1, CHUNK // num_requests_per_pair(self._config, self._constitution))
        for start in range(0, len(ids), at_once):
            with connect.read(self.store.engine) as conn:
                texts = list(pairs.texts(conn, ids[start : start + at_once]))
            yield from self._reserved(list(plan(texts, self._config, self._constitution)), again)
            if self.why_stopped is not None:
                return

    def _reserved(self, chunk: Sequence[tuple[int, Request]], again: Sequence[Status]) -> Iterator[Request]:
        with connect.write(self.store.engine) as conn:
            got = requests.reserve(conn, chunk, run_id=self.run.id, labeler_id=self._labeler_id, again=again)
        for name in ("answered", "failed", "elsewhere"):
            self._counts[name] = self._counts.get(name, 0) + getattr(got, name)
        for pair_id, request in chunk:
            if request.key not in got.to_ask:
                continue
            self._heed_budget()
            if self.why_stopped is not None:
                return
            self._waiting[request.key], self._pair_of[request.key] = request, pair_id
            yield request

    def _heed_budget(self) -> None:
        """Ask nothing more once what is spent, what is in flight and one more could go beyond the budget."""
        limit = self.run.config["max_cost"]
        if limit is None:
            return
        each = max(self._costs, default=0.0)
        if self._spent + (len(self._waiting) + 1) * each > float(str(limit)):
            self.stop(f"the budget of ${float(str(limit)):,.2f} would not cover another request")

    def _keep(self, attempt: Attempt) -> None:
        """One transaction for each call, with the answer and its vote if it is the last of its request."""
        request = self._waiting[attempt.key]
        answer = parse.read(attempt, request, self._labeler.mode) if attempt.is_last else None
        with connect.write(self.store.engine) as conn:
            requests.add_attempt(conn, attempt, run_id=self.run.id)
            if answer is not None:
                requests.add_answer(conn, answer, request, labeler_id=self._labeler_id, labeler=self._config.name)
        self._spent += attempt.cost or 0.0
        if attempt.cost:
            self._costs.append(attempt.cost)
        if answer is not None:
            self._end(attempt.key, answer)

    def _end(self, key: str, answer: Answer) -> None:
        del self._waiting[key]
        pair_id = self._pair_of.pop(key)
        self._counts[answer.status.value] = self._counts.get(answer.status.value, 0) + 1
        if answer.status is Status.OK:
            self._touched.add(pair_id)

    def _add_up(self, *, counted: bool) -> None:
        requests.add_up(self.store.engine, sorted(self._touched), labeler_id=self._labeler_id, counted=counted)
        self._touched.clear()

    def _progress(self, total: int) -> Progress:
        ended = sum(self._counts.values())
        words = f"asking {self._config.name}: {ended:,} of {total:,} answers"
        failed = sum(self._counts.get(status.value, 0) for status in Status if status is not Status.OK)
        if failed:
            words += f", {failed:,} without a verdict"
        if self._spent:
            words += f", ${self._spent:,.2f} spent"
        if len(self._costs) >= PILOT:
            words += f", about ${self._spent + (total - ended) * sum(self._costs) / len(self._costs):,.2f} in all"
        return Progress(what=words, done=ended, total=total)
