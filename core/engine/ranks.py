"""Several processes that train one model together, one a device: who computes what, and how it adds up.

Each holds the whole model, plans the same steps, and computes its share of a step's pairs in passes of its own, perhaps
none. Their gradients are summed once, after the last pass. So a step's mean is over all its pairs, as in one process;
every process sees the same sums and thus takes the same decisions.

Not through DistributedDataParallel, which sums while it goes backward: it needs one forward of the wrapped model for
every backward and as many of them on every device, while rows of shared prompts go past the wrapper and a share may be
empty. Nor could a process then try a step again that had no room for it.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from core.engine.shard import is_piece
from core.errors import RunFailed

# Gradients are summed through a copy of this many numbers at a time, 256 MiB in float32.
_BUCKET = 2**26


class PeerLost(RunFailed):
    """Another process is gone. It, not this one, knows why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """This process's place among those of a run; torch's default process group joins them.

    Attributes:
        device: where the group adds.
        is_sharded: the weights lie in pieces, so that all processes must make every pass together.
    """

    rank: int
    size: int
    device: torch.device
    is_sharded: bool = False

    @property
    def leads(self) -> bool:
        """Whether this is the one that keeps what is kept once."""
        return self.rank == 0

    def share(self, sizes: Sequence[int]) -> list[int]:
        """Places of what this process computes, in order: the largest go first, each to who has least so far."""
        load = [0] * self.size
        mine = []
        for place in sorted(range(len(sizes)), key=lambda one: -sizes[one]):
            least = load.index(min(load))
            load[least] += sizes[place]
            if least == self.rank:
                mine.append(place)
        return sorted(mine)

    def sum(self, *values: float) -> list[float]:
        """Each value added over all processes, in float64: the same bits everywhere."""
        if self.size == 1:
            return list(values)
        # Metal has no float64; it has no second process either.
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        self._add_up(total)
        return total.tolist()

    def sum_gradients(self, parameters: Collection[nn.Parameter]) -> None:
        """Put the sum over all processes into every gradient.

        A parameter without a gradient in all of them keeps none: AdamW would let a zero one decay.
        """
        if self.size == 1:
            return
        trained = [one for one in parameters if not is_piece(one)]
        for parameter in parameters:
            if parameter.grad is not None and is_piece(parameter):
                parameter.grad.mul_(self.size)  # its mean came with the backward pass
        has_gradient = torch.tensor([one.grad is not None for one in trained], dtype=torch.int32, device=self.device)
        self._add_up(has_gradient)
        gradients = [_gradient(one) for one, count in zip(trained, has_gradient.tolist(), strict=True) if count]
        for bucket in _buckets(gradients):
            flat = torch.cat([one.flatten() for one in bucket])
            self._add_up(flat)
            for one, total in zip(bucket, flat.split([one.numel() for one in bucket]), strict=True):
                one.copy_(total.view_as(one))

    def begin_alike(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give all processes the weights of the first."""
        if self.size > 1:
            for parameter in parameters:
                if not is_piece(parameter):  # pieces were cut from weights that one seed made
                    dist.broadcast(parameter.detach(), src=0)

    def seed(self, seed: int, step: int) -> None:
        """Random numbers of a step, other ones in each process; they follow from the step, so nobody keeps their state.

        One process alone goes on with the state it has, which `resume` keeps.
        """
        if self.size > 1:
            torch.manual_seed((seed * 1_000_003 + step) * self.size + self.rank)

    @contextmanager
    def out_of_memory_together(self) -> Iterator[None]:
        """Where one process runs out of memory within the block, all do at its end: together they can try again."""
        if self.is_sharded:  # who stops within a pass leaves the others waiting in it
            yield
            return
        ran_out: torch.OutOfMemoryError | None = None
        try:
            yield
        except torch.OutOfMemoryError as error:
            ran_out = error
        (count,) = self.sum(float(ran_out is not None))
        if count:
            raise ran_out or torch.OutOfMemoryError("another process of this run is out of memory")

    def most(self, count: int) -> int:
        """The largest of the processes' counts."""
        largest = torch.tensor(count, device=self.device)
        self._add_up(largest, dist.ReduceOp.MAX)
        return int(largest)

    def leader_says(self, *, yes: bool) -> bool:
        """What the first process says, for all of them."""
        (count,) = self.sum(float(yes and self.leads))
        return count > 0

    def _add_up(self, tensor: Tensor, how: dist.ReduceOp.RedOpType = dist.ReduceOp.SUM) -> None:
        try:
            dist.all_reduce(tensor, how)
        except RuntimeError as error:
            raise PeerLost(f"process {self.rank + 1} of {self.size} lost another one: {error}") from error


ALONE = Ranks(rank=0, size=1, device=torch.device("cpu"))


def _gradient(parameter: nn.Parameter) -> Tensor:
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


def _buckets(gradients: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Neighbours of one precision, together at most a bucket; a larger one is a bucket of its own."""
    bucket: list[Tensor] = []
    for gradient in gradients:
        size = sum(one.numel() for one in bucket) + gradient.numel()
        if bucket and (size > _BUCKET or gradient.dtype is not bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket
