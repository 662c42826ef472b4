"""Many calls at once, for labelers that wait for a server."""

import queue
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from core.judging import Attempt, Request

TOO_MANY = 429
_GROW = 20  # answers in a row after which one more request may be in flight again


@dataclass(frozen=True, slots=True)
class _Ended:
    """A request is through with its calls, or could not go on."""

    error: BaseException | None = None


def in_flight(
    requests: Iterable[Request], ask: Callable[[Request, Callable[[Attempt], None]], None], *, at_most: int
) -> Iterator[Attempt]:
    """Run `ask` for each request on threads; what it says is yielded as it is said.

    Requests are pulled as there is room. A server that says it is too much halves the room, which grows again with
    answers. If `ask` raises, no more is asked, what is in flight is still yielded, and the first error is raised.
    """
    said: queue.Queue[Attempt | _Ended] = queue.Queue()
    waiting, room, going = iter(requests), _Room(at_most), 0
    failure: BaseException | None = None

    def work(request: Request) -> None:
        error = None
        try:
            ask(request, said.put)
        except BaseException as raised:  # noqa: BLE001 - raised again where the attempts are pulled
            error = raised
        said.put(_Ended(error))

    with ThreadPoolExecutor(max_workers=at_most) as pool:
        while True:
            while failure is None and going < room.size and (request := next(waiting, None)) is not None:
                pool.submit(work, request)
                going += 1
            if not going:
                break
            heard = said.get()
            if isinstance(heard, _Ended):
                going -= 1
                failure = failure or heard.error
            else:
                room.hear(heard)
                yield heard
    if failure is not None:
        raise failure


class _Room:
    """How many requests may be in flight."""

    def __init__(self, at_most: int) -> None:
        self.size, self._at_most, self._calm = at_most, at_most, 0

    def hear(self, attempt: Attempt) -> None:
        if attempt.http_status == TOO_MANY:
            self.size, self._calm = max(1, self.size // 2), 0
            return
        self._calm += 1
        if self._calm >= _GROW and self.size < self._at_most:
            self.size, self._calm = self.size + 1, 0
