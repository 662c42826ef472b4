"""What a training run will take, before any weight is loaded: bytes of memory and seconds.

The model is made from its config alone, of tensors that have a shape and no memory, and the largest pass of the run
goes forward and backward through it while the bytes that are alive are counted. So what a layer keeps for its backward
pass is counted, not assumed, whatever the architecture, the adapters, the precision and the attention are.
"""

import weakref
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from core.config import Method, Quantise, TrainConfig
from core.engine import features
from core.engine.attention import budget_of, packed_attention, sharing_refused
from core.engine.batches import LEAST_ROW_TOKENS
from core.engine.device import free_memory, half_precision, matmul_rate
from core.engine.flops import Arithmetic, arithmetic_of, forwards_in_a_step
from core.engine.layout import shared_prefix
from core.engine.model import empty_model
from core.engine.reader import architecture_of, token_limit
from core.engine.tokens import TokenPair
from core.engine.train import EVALUATIONS
from core.errors import BadConfig, RunFailed, TiebreakError
from core.records import Candidate, Part, SnapshotPair

# Of UTF-8, in English, by the tokenizers in use; only until a tokenizer is loaded.
BYTES_A_TOKEN = 4
# Share of the matrix-product rate that training reaches: .42 to .62 on 2 CPU cores (tests/benchmarks/RESULTS.md), not
# measured on a GPU.
EFFICIENCY = 0.5
# Bytes that a process takes on a CPU for each byte of activations: glibc does not give freed gaps back. A Llama of 49M
# parameters in rows of 2,048 tokens: 1.4 (full), 2.3 (LoRA), 2.5 of few (checkpointing). Each in pages of its own
# (MALLOC_MMAP_THRESHOLD_ of 1 MiB) takes 1.02, for a third more CPU time.
CPU_ALLOCATION = 1.8
# The layers of the models that a deeper one is extrapolated from; 80 layers would take 15 s.
_FEW_LAYERS, _MORE_LAYERS = 2, 4


# How far an estimate may lie beside what a process takes: 15 % above to 19 % below in three runs.
MARGIN = 0.25


class NotEstimated(TiebreakError):
    """What a model computes depends on values, so its memory cannot be told beforehand. A run may go on without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTokens:
    """Tokens of a prompt and of its distinct responses, and the number of pairs among them."""

    prompt: int
    responses: tuple[int, ...]
    num_pairs: int = 1

    @property
    def shared(self) -> int:
        """With the prompt once."""
        return self.prompt + sum(self.responses)

    @property
    def longest(self) -> int:
        return self.prompt + max(self.responses)

    @property
    def largest_pair(self) -> int:
        return self.prompt + sum(sorted(self.responses)[-2:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What there is to compute: the groups of each part, none with more pairs than an optimizer step."""

    train: tuple[GroupTokens, ...]
    valid: tuple[GroupTokens, ...] = ()
    test: tuple[GroupTokens, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes on the run's device at the fullest moment.

    Attributes:
        optimizer: AdamW's two moments.
        best: the trained weights of the best step so far. They are kept in the CPU's memory: 0 on a GPU.
        activations: what the largest pass keeps for its backward pass, and what that works with.
    """

    weights: int
    gradients: int
    optimizer: int
    best: int
    activations: int

    @property
    def kept(self) -> int:
        """What stays from pass to pass."""
        return self.weights + self.gradients + self.optimizer + self.best

    @property
    def total(self) -> int:
        return self.kept + self.activations


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a run needs, and what its device has.

    Attributes:
        parameters: of backbone, head and adapters; `trainable` of them are trained.
        pass_tokens: of the largest forward pass, padding included.
        free: bytes free on the device now.
        seconds: of training, its evaluations and the held-out rewards; loading and proving a checkpoint are not in it.
    """

    parameters: int
    trainable: int
    pass_tokens: int
    memory: Memory
    free: int
    seconds: float

    @property
    def fits(self) -> bool:
        return self.memory.total <= self.free

    @property
    def cannot_fit(self) -> bool:
        """Even if the estimate is too high by as much as it may be: a run that would fit is never refused."""
        return self.memory.total > (1 + MARGIN) * self.free


def estimate(config: TrainConfig, workload: Workload, device: torch.device) -> Estimate:
    """Of a training run.

    Raises NotFound or BadConfig where the backbone's config is not to be had or does not allow the run, NotEstimated
    where its model cannot be computed without values.
    """
    if config.quantise is not Quantise.NONE or config.shard:
        raise NotEstimated("no estimate: what weights in 4 bits or split over devices take is not counted yet")
    outline = _outline(config, device)
    largest = _largest_pass(config, outline, workload.train)
    rate = EFFICIENCY * matmul_rate(device, half_precision(config.precision, device) or torch.float32)
    return Estimate(
        parameters=outline.parameters,
        trainable=outline.trainable,
        pass_tokens=largest.tokens,
        memory=_memory(config, outline, largest, device),
        free=free_memory(device),
        seconds=_operations(config, outline, workload) / rate,
    )


def require_fit(config: TrainConfig, workload: Workload, device: torch.device) -> Estimate:
    """The estimate of a run that fits. RunFailed in one sentence, with settings that would fit, if it cannot."""
    wanted = estimate(config, workload, device)
    if not wanted.cannot_fit:
        return wanted
    says = (
        f"{config.method} training of {config.backbone} needs about {in_words(wanted.memory.total)} and {device} has "
        f"{in_words(wanted.free)} free"
    )
    too_heavy = {config.method} if wanted.memory.kept > wanted.free else set()  # without any activations
    for settings in _smaller(config):
        try:
            other = replace(config, **settings)
        except BadConfig:  # a probe takes fewer settings
            continue
        if other.method in too_heavy:
            continue
        found = estimate(other, workload, device)
        if found.fits:
            named = ", ".join(f"{key}={str(value).lower()}" for key, value in settings.items())
            raise RunFailed(f"{says}; {named} needs about {in_words(found.memory.total)}")
        if found.memory.kept > found.free:
            too_heavy.add(other.method)
    raise RunFailed(f"{says}; no method and no smaller pass would fit: use a smaller backbone or a larger device")


def _smaller(config: TrainConfig) -> Iterator[dict[str, Any]]:
    """Settings that take less memory, those that change least first."""
    passes: dict[str, Any] = {
        "row_tokens": LEAST_ROW_TOKENS,
        "batch_pairs": 1,
        "accumulation": config.batch_pairs * config.accumulation,
    }
    less: dict[str, Any] = {"gradient_checkpointing": True}
    if config.method is not Method.PROBE:
        yield from (less, less | passes)
    if config.method is Method.FULL:
        lora = {"method": Method.LORA}
        yield from (lora, lora | less, lora | less | passes)
    if config.method is not Method.PROBE:
        yield {"method": Method.PROBE}


def in_words(size: int) -> str:
    return f"{size / 1e9:.0f} GB" if size >= 10**10 else f"{size / 1e9:.1f} GB"


def workload_of_texts(config: TrainConfig, pairs: Sequence[SnapshotPair | Candidate]) -> Workload:
    """Before a tokenizer is loaded: tokens from the size of the texts, at most as many as the model takes."""
    limit = token_limit(architecture_of(config.backbone), config.max_tokens)
    rows: dict[Part, list[_Row]] = {part: [] for part in Part}
    for one in pairs:
        sizes = [_num_bytes(text) // BYTES_A_TOKEN + 1 for text in (one.pair.response_a, one.pair.response_b)]
        a, b = (min(size, limit - 1) for size in sizes)
        prompt = sum(_num_bytes(turn.content) for turn in one.pair.prompt) // BYTES_A_TOKEN + 1
        kept = min(prompt, limit - max(a, b))
        rows[one.part].append((one.pair.prompt_hash, kept, ((one.pair.response_a, a), (one.pair.response_b, b))))
    return _workload(config, rows)


def workload_of_tokens(config: TrainConfig, pairs: Iterable[tuple[Part, str, TokenPair]]) -> Workload:
    """Of (part, hash of the prompt, tokens of both sides)."""
    rows: dict[Part, list[_Row]] = {part: [] for part in Part}
    for part, prompt_hash, sides in pairs:
        prompt = shared_prefix([side.input_ids for side in sides])
        a, b = ((side.input_ids[prompt:], len(side.input_ids) - prompt) for side in sides)
        rows[part].append((prompt_hash, prompt, (a, b)))
    return _workload(config, rows)


# The prompt's name and tokens, and of each side what tells it from others, and its tokens.
_Row = tuple[str, int, tuple[tuple[Hashable, int], tuple[Hashable, int]]]


def _workload(config: TrainConfig, rows: Mapping[Part, Sequence[_Row]]) -> Workload:
    most = config.batch_pairs * config.accumulation
    return Workload(**{part.value: _groups(some, most_pairs=most) for part, some in rows.items()})


def _groups(rows: Sequence[_Row], *, most_pairs: int) -> tuple[GroupTokens, ...]:
    by_prompt: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        by_prompt[row[0]].append(row)
    parts = [some[at : at + most_pairs] for some in by_prompt.values() for at in range(0, len(some), most_pairs)]
    return tuple(
        GroupTokens(
            prompt=max(prompt for _, prompt, _ in part),
            responses=tuple({name: tokens for _, _, sides in part for name, tokens in sides}.values()),
            num_pairs=len(part),
        )
        for part in parts
    )


def _num_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outline:
    """What a backbone's config says of a run.

    Attributes:
        row_tokens: of a row of shared prompts; None where each side of a pair is padded.
    """

    parameters: int
    trainable: int
    weight_bytes: int
    trained_bytes: int
    num_layers: int
    row_tokens: int | None
    arithmetic: Arithmetic


def _outline(config: TrainConfig, device: torch.device) -> _Outline:
    architecture = architecture_of(config.backbone)
    model = empty_model(config, dtype=_weight_dtype(config, device))
    limit = token_limit(architecture, config.max_tokens)
    is_shared = config.method is not Method.PROBE and sharing_refused(architecture, max_tokens=limit) is None
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return _Outline(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        trainable=sum(parameter.numel() for parameter in trained),
        weight_bytes=sum(parameter.nbytes for parameter in model.parameters()),
        trained_bytes=sum(parameter.nbytes for parameter in trained),
        num_layers=architecture.get_text_config().num_hidden_layers,
        row_tokens=(config.row_tokens or budget_of(packed_attention(model.backbone, device))) if is_shared else None,
        arithmetic=arithmetic_of(model.backbone, architecture, is_causal=model.pooling == "last"),
    )


def _weight_dtype(config: TrainConfig, device: torch.device) -> torch.dtype:
    """Of the backbone: frozen weights are kept as they are computed with."""
    is_frozen = config.method is Method.LORA
    return (half_precision(config.precision, device) if is_frozen else None) or torch.float32


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pass:
    """A forward pass; `fills_step` where an optimizer step is no more than one."""

    rows: int
    length: int
    fills_step: bool

    @property
    def tokens(self) -> int:
        return self.rows * self.length


def _largest_pass(config: TrainConfig, outline: _Outline, groups: Sequence[GroupTokens]) -> _Pass:
    longest = max(group.longest for group in groups)
    num_pairs = sum(group.num_pairs for group in groups)
    if config.method is Method.PROBE:
        return _Pass(rows=min(features.BATCH_TEXTS, 2 * num_pairs), length=longest, fills_step=True)
    if outline.row_tokens is None:
        rows = 2 * min(config.batch_pairs, num_pairs)
        return _Pass(rows=rows, length=longest, fills_step=config.accumulation == 1)
    # The largest step that could be: its groups are drawn, and of many steps one is near it.
    wanted, step = config.batch_pairs * config.accumulation, 0
    for group in sorted(groups, key=lambda one: -one.shared / one.num_pairs):
        step += group.shared
        wanted -= group.num_pairs
        if wanted <= 0:
            break
    room = max(outline.row_tokens, *(group.largest_pair for group in groups))
    return _Pass(rows=1, length=min(step, room), fills_step=step <= room)


def _memory(config: TrainConfig, outline: _Outline, largest: _Pass, device: torch.device) -> Memory:
    trained = 0 if config.method is Method.PROBE else outline.trained_bytes
    # Gradients take the place of what one pass kept, layer by layer; a second pass finds them there.
    activations = _activations(config, outline, largest, device)
    if device.type == "cpu":
        activations = round(CPU_ALLOCATION * activations)
    return Memory(
        weights=outline.weight_bytes,
        gradients=trained,
        optimizer=2 * trained,
        best=trained if device.type == "cpu" else 0,
        activations=max(activations - trained, 0) if largest.fills_step else activations,
    )


def _activations(config: TrainConfig, outline: _Outline, largest: _Pass, device: torch.device) -> int:
    """Bytes; of a deep model from what two layers more take."""
    if outline.num_layers <= _MORE_LAYERS:
        return _peak(config, outline.num_layers, largest, device)
    few, more = (_peak(config, layers, largest, device) for layers in (_FEW_LAYERS, _MORE_LAYERS))
    return few + (more - few) * (outline.num_layers - _FEW_LAYERS) // (_MORE_LAYERS - _FEW_LAYERS)


def _peak(config: TrainConfig, layers: int, largest: _Pass, device: torch.device) -> int:
    """Bytes beside weights and gradients at the fullest moment of one pass."""
    trains = config.method is not Method.PROBE
    dtype = half_precision(config.precision, device) if trains else None
    model = empty_model(config, dtype=_weight_dtype(config, device), layers=layers)
    with FakeTensorMode(allow_non_fake_inputs=True):
        model.to_empty(device="cpu")
        ids = torch.zeros((largest.rows, largest.length), dtype=torch.long)
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
        alive = _Alive([*model.parameters(), *model.buffers(), *(p.grad for p in model.parameters())])
        try:
            with alive, torch.set_grad_enabled(trains):
                with torch.autocast("cpu", dtype=dtype or torch.bfloat16, enabled=dtype is not None):
                    states = model.train(trains).backbone(input_ids=ids).last_hidden_state
                if trains:
                    states.float().sum().backward()
        except RuntimeError as error:  # FakeTensorMode's own are of this kind
            raise NotEstimated(
                f"no estimate: {config.backbone} asks for values ({str(error).splitlines()[0]})"
            ) from None
    return alive.peak


class _Alive(TorchDispatchMode):
    """Counts the bytes that operations make and that are not yet given back; `known` tensors are not counted."""

    def __init__(self, known: Iterable[Tensor | None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in torch
        self.peak = self._now = 0
        self._sizes = {tensor.untyped_storage()._cdata: 0 for tensor in known if tensor is not None}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            return 1  # what a model asks of its mask: is every place filled?
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata in self._sizes:
            return
        self._sizes[storage._cdata] = storage.nbytes()
        self._now += storage.nbytes()
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._give_back, storage._cdata)

    def _give_back(self, name: int) -> None:
        self._now -= self._sizes.pop(name)


def _operations(config: TrainConfig, outline: _Outline, workload: Workload) -> float:
    """Of training, its evaluations and the held-out rewards."""
    one, is_shared = outline.arithmetic, outline.row_tokens is not None
    train, valid, test = (
        _forward(one, part, is_shared=is_shared) for part in (workload.train, workload.valid, workload.test)
    )
    if config.method is Method.PROBE:
        return train + valid + test
    forwards = forwards_in_a_step(config.method, checkpointing=config.gradient_checkpointing)
    return config.epochs * forwards * train + (EVALUATIONS + 2) * valid + test


def _forward(arithmetic: Arithmetic, groups: Sequence[GroupTokens], *, is_shared: bool) -> float:
    if is_shared:
        tokens = sum(group.shared for group in groups)
        squares = sum(_squares(group) for group in groups)
    else:
        # Batches are of like length: little more than the texts' own tokens.
        tokens = sum(2 * group.num_pairs * group.longest for group in groups)
        squares = sum(2 * group.num_pairs * group.longest**2 for group in groups)
    return arithmetic.forward(tokens=tokens, squares=squares)


def _squares(group: GroupTokens) -> int:
    """The sum of the texts' squared lengths, with what the tokens of the prompt see counted once."""
    return sum((group.prompt + tokens) ** 2 - group.prompt**2 for tokens in group.responses) + group.prompt**2
