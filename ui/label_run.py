"""The run in which a labeler labels: plan, reserve, ask, keep each answer at once, add the votes up."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from core.config import settings_of
from core.errors import RunFailed
from core.judging import Attempt, LabelerConfig, Price, Request, Status, priced
from core.labelers import labeler_of, parse
from core.labelers.plan import num_requests_per_pair, plan, version_of
from core.records import Progress
from db import connect, constitutions, labelers, pairs, prices, requests, runs
from db.requests import Asked
from ui.labeling import CHUNK, ON_DEVICE, most_it_could_cost, num_characters, pair_ids_of
from ui.processes import Store

PILOT = 20  # priced requests after which the whole cost is forecast
_LABEL_SECONDS = 2.0  # how far labels may lag behind their votes while a run goes
_AGAIN = (Status.UNPARSED, Status.REFUSED, Status.TRUNCATED)


class _Budget:
    """What calls cost so far, and what one more could. A limit counts what is in flight as the dearest there was."""

    def __init__(self, limit: float | None, price: Price | None, config: LabelerConfig, *, spent: float) -> None:
        self.limit, self.spent = limit, spent
        self.num_priced, self._priced, self._dearest = 0, 0.0, 0.0
        self._price, self._config = price, config

    def most_for(self, request: Request) -> float:
        """US dollars: by the dearest character so far, at first by the longest reply there can be."""
        if self.limit is None or self._price is None:
            return 0.0
        if not self.num_priced:
            return most_it_could_cost(request, self._config, self._price)
        return self._dearest * num_characters(request, self._config)

    def add(self, attempt: Attempt, request: Request) -> None:
        self.spent += attempt.cost or 0.0
        if attempt.cost:
            self.num_priced, self._priced = self.num_priced + 1, self._priced + attempt.cost
            if self.limit is not None:
                self._dearest = max(self._dearest, attempt.cost / num_characters(request, self._config))

    def forecast(self, num_left: int) -> float:
        return self.spent + num_left * self._priced / self.num_priced


class Labeling:
    """One run that labels. Pull its progress; `stop` asks nothing more, and what is in flight is still kept."""

    def __init__(self, *, store: Store, run: runs.Run) -> None:
        if run.dataset_id is None:
            raise RunFailed(f"run {run.id} names no dataset")
        wish: Mapping[str, Any] = run.config
        self.why_stopped: str | None = None
        self.run, self._store, self._wish, self._dataset_id = run, store, wish, run.dataset_id
        self._config = settings_of(LabelerConfig, wish["labeler"])
        device = run.device if self._config.source in ON_DEVICE else "cpu"
        self._labeler = labeler_of(self._config, in_flight=int(wish["in_flight"]), device=device)
        with connect.write(store.engine) as conn:
            kept = None if wish["constitution"] is None else constitutions.get(conn, int(wish["constitution"]))
            self._constitution = None if kept is None else kept.constitution
            self._version = version_of(self._config, self._constitution)
            self._labeler_id = labelers.asked(
                conn,
                self._config.name,
                self._version,
                config=wish["labeler"],
                constitution_id=None if kept is None else kept.id,
            )
            self._price = prices.get(conn, self._config.model)
            spent = requests.spent(conn, run.id).cost  # a resumed run goes on with its budget
        self._budget = _Budget(wish["max_cost"], self._price, self._config, spent=spent)
        self._in_flight: dict[str, Asked] = {}
        self._set_aside: dict[str, float] = {}  # US dollars, for each request in flight
        self._touched: set[int] = set()
        self._counts: Counter[str] = Counter()

    def stop(self, why: str) -> None:
        self.why_stopped = self.why_stopped or why

    def steps(self) -> Iterator[Progress]:
        """Ask until all is answered, and yield how far it is after each answer."""
        self._labeler.check()
        with connect.read(self._store.engine) as conn:
            ids = pair_ids_of(conn, self._dataset_id, limit=self._wish["limit"])
        if not ids:
            raise RunFailed("the dataset has no pair to label")
        total = len(ids) * num_requests_per_pair(self._config, self._constitution)
        added_up_at = time.monotonic()
        try:
            for attempt in self._labeler.attempts(self._requests(ids)):
                self._keep(priced(attempt, self._price))
                if time.monotonic() - added_up_at > _LABEL_SECONDS:
                    self._add_up(self._touched)
                    added_up_at = time.monotonic()
                yield self._progress(total)
        finally:
            self._end(ids)

    def metrics(self) -> dict[str, object]:
        with connect.read(self._store.engine) as conn:
            spent = requests.spent(conn, self.run.id)
        return {
            "labeler_version": self._version,
            "num_attempts": spent.num_attempts,
            "tokens_in": spent.tokens_in,
            "tokens_out": spent.tokens_out,
            "cost": None if self._price is None and self._config.follows_principles else spent.cost,
            "num_unpriced": spent.num_unpriced,
            "answers": spent.by_status,
            "num_answered_before": self._counts["answered"],
            "num_failed_before": self._counts["failed before"],
            "num_asked_elsewhere": self._counts["elsewhere"],
            "why_stopped": self.why_stopped,
        }

    def _requests(self, ids: list[int]) -> Iterator[Request]:
        """Those that nobody has asked, one by one, until a stop or the budget says no."""
        at_once = max(1, CHUNK // num_requests_per_pair(self._config, self._constitution))
        for start in range(0, len(ids), at_once):
            with connect.read(self._store.engine) as conn:
                texts = list(pairs.texts(conn, ids[start : start + at_once]))
            yield from self._reserved(list(plan(texts, self._config, self._constitution)))
            if self.why_stopped is not None:
                return

    def _reserved(self, chunk: Sequence[tuple[int, Request]]) -> Iterator[Request]:
        again = (Status.FAILED, *(_AGAIN if self._wish["retry"] else ()))
        with connect.write(self._store.engine) as conn:
            got = requests.reserve(conn, chunk, run_id=self.run.id, labeler_id=self._labeler_id, again=again)
        self._counts.update({"answered": got.answered, "failed before": got.failed, "elsewhere": got.elsewhere})
        for asked in got.to_ask:
            key, most = asked.request.key, self._budget.most_for(asked.request)
            self._heed_budget(most)
            if self.why_stopped is not None:
                return
            self._in_flight[key], self._set_aside[key] = asked, most
            yield asked.request

    def _heed_budget(self, most: float) -> None:
        """Ask nothing more once what is spent, what is in flight and one more could go beyond the budget."""
        if self._budget.limit is None:
            return
        if self._budget.spent + sum(self._set_aside.values()) + most > self._budget.limit:
            self.stop(f"the budget of ${self._budget.limit:,.2f} would not cover another request")

    def _keep(self, attempt: Attempt) -> None:
        """One transaction for each call, with the answer and its vote if it is the last of its request."""
        asked = self._in_flight[attempt.key]
        answer = parse.read(attempt, asked.request, self._labeler.mode) if attempt.is_last else None
        with connect.write(self._store.engine) as conn:
            by = (self._labeler_id, self._config.name)
            requests.keep(conn, attempt, answer, asked, run_id=self.run.id, by=by)
        self._budget.add(attempt, asked.request)
        if answer is not None:
            del self._in_flight[attempt.key], self._set_aside[attempt.key]
            self._counts[answer.status.value] += 1
            if answer.status is Status.OK:
                self._touched.add(asked.pair_id)

    def _add_up(self, pair_ids: set[int]) -> None:
        requests.add_up(self._store.engine, sorted(pair_ids), labeler_id=self._labeler_id)
        self._touched.clear()

    def _end(self, ids: list[int]) -> None:
        """However it ends: each vote is in its label, also a killed run's, and what was not asked is given back."""
        with connect.read(self._store.engine) as conn:
            owed = requests.owed(conn, self._labeler_id)
        self._add_up({*owed, *self._touched})
        requests.count_up(self._store.engine, ids)
        with connect.write(self._store.engine) as conn:
            requests.release(conn, self.run.id)

    def _progress(self, total: int) -> Progress:
        ended = self._counts.total()
        words = f"asking {self._config.name}: {ended:,} of {total:,} answers"
        failed = sum(self._counts[status.value] for status in Status if status is not Status.OK)
        if failed:
            words += f", {failed:,} without a verdict"
        if self._budget.spent:
            words += f", ${self._budget.spent:,.2f} spent"
        if self._budget.num_priced >= PILOT:
            words += f", about ${self._budget.forecast(total - ended):,.2f} in all"
        return Progress(what=words, done=ended, total=total)
