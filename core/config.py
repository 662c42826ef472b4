"""What a training run can be told. Checked where it is made; stored as JSON with the run."""

import dataclasses
import importlib.util
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar, get_args, get_type_hints

from core.errors import BadConfig

Settings = TypeVar("Settings")


class Method(StrEnum):
    PROBE = "probe"
    LORA = "lora"
    FULL = "full"


class Overflow(StrEnum):
    TRIM = "trim"
    DROP = "drop"


class Targets(StrEnum):
    SOFT = "soft"
    HARD = "hard"


class Ties(StrEnum):
    """What a tie teaches; the last two learn how near two rewards must be to tie."""

    DROP = "drop"  # nothing
    HALF = "half"  # half a win for each side
    PENALISE = "penalise"  # equal rewards, by a penalty on their difference
    DAVIDSON = "davidson"
    RAO_KUPPER = "rao-kupper"


class Precision(StrEnum):
    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class Quantise(StrEnum):
    """How the frozen weights of a LoRA run are kept in memory."""

    NONE = "none"
    FOUR_BIT = "4bit"  # nf4 with double quantisation, as QLoRA (arXiv 2305.14314)


EMBEDDED_BACKBONE = "minilm"
ALL_LINEAR = "all-linear"
DEFAULT_LEARNING_RATE = {Method.PROBE: 1.0, Method.LORA: 1e-4, Method.FULL: 1e-5}


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """Settings of the loss; `core.engine.objective` has their formulas and sources. The defaults are Bradley-Terry."""

    ties: Ties = Ties.HALF
    tie_penalty: float = 0.25  # of ties=penalise, above 0; .25 bends as half does at equal rewards
    label_smoothing: float = 0.0  # share of labels taken to be flipped, [0, 0.5): moves the targets
    noise_rate: float = 0.0  # known share of flipped labels, [0, 0.5): corrects the model's probabilities
    target_margin: float = 0.0  # logits, at least 0: by how much the target's side should lead
    adaptive_margin: float = 0.0  # logits, at least 0: a further lead for a sure target, times |2 p_a - 1|
    centring: float = 0.0  # at least 0, times (r_a + r_b)^2: rewards stay near 0; 0.01 in arXiv 2312.09244 and TRL

    def __post_init__(self) -> None:
        _require(0 < self.tie_penalty <= 100, "tie_penalty", "above 0 and at most 100", self.tie_penalty)
        for name in ("label_smoothing", "noise_rate"):
            _require(0 <= getattr(self, name) < 0.5, name, "in [0, 0.5)", getattr(self, name))
        for name in ("target_margin", "adaptive_margin", "centring"):
            _require(0 <= getattr(self, name) <= 100, name, "in [0, 100]", getattr(self, name))
        if self.label_smoothing and self.noise_rate:
            raise BadConfig("label_smoothing and noise_rate both account for flipped labels; set one of them")

    @property
    def learns_ties(self) -> bool:
        return self.ties in {Ties.DAVIDSON, Ties.RAO_KUPPER}


# What the probe's solver, a logistic regression, cannot minimise.
_NOT_FOR_PROBE = ("noise_rate", "target_margin", "adaptive_margin", "centring")
_FOR_LORA_ALONE = ("dora", "rank_stabilised", "lora_dropout", "lora_targets", "quantise")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig(Objective):
    """Settings of one training run, those of its loss among them.

    Source of the defaults: full 1e-5 and one epoch as Llama 2 (arXiv 2307.09288, 3.2.2); lora 1e-4 as TRL 1.16.
    """

    backbone: str = EMBEDDED_BACKBONE
    method: Method = Method.PROBE
    epochs: int = 1
    batch_pairs: int = 16  # pairs in one forward
    accumulation: int = 1  # forwards in one optimizer step
    learning_rate: float | None = None  # AdamW peak; None: 1e-4 for lora, 1e-5 for full
    warmup: float = 0.05  # share of steps
    weight_decay: float = 0.01
    patience: int = 4  # of 8 evaluations, how many in a row no better on held-out pairs end lora and full; 0: never
    max_tokens: int | None = None  # None: min(1024, the model's positions)
    overflow: Overflow = Overflow.TRIM
    targets: Targets = Targets.SOFT
    # auto: on CUDA bf16, or fp16 with a scaler where bf16 is absent; elsewhere fp32. Frozen weights of lora are kept in
    # it too; what is trained, its gradients, the loss and the optimizer's state are always in float32.
    precision: Precision = Precision.AUTO
    device: str = "auto"  # auto, cpu, mps, cuda, cuda:N
    processes: int = 1  # that train together, one a GPU: the device and those after it; on cpu they share it
    shard: bool = False  # keep the weights in pieces on the processes' devices: less memory, more traffic
    seed: int = 0
    row_tokens: int | None = None  # of a row of packed prompts, where the model can share them; None: by device
    gradient_checkpointing: bool = False  # less memory for about a third more time
    # Of lora; the head is trained and saved whatever these say.
    lora_rank: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.0  # share in [0, 1) of an adapter's inputs; the backbone's own dropout stays off
    lora_targets: str = ALL_LINEAR  # or endings of module names, such as q_proj,v_proj
    dora: bool = False  # also train the size of each weight vector (arXiv 2402.09353)
    rank_stabilised: bool = False  # scale by alpha / sqrt(rank), not alpha / rank (arXiv 2312.03732)
    quantise: Quantise = Quantise.NONE  # 4bit: frozen weights through bitsandbytes (extra `quant`)

    def __post_init__(self) -> None:
        Objective.__post_init__(self)  # super() alone does not find its class in a dataclass with slots
        for name in ("epochs", "batch_pairs", "accumulation", "processes", "lora_rank", "lora_alpha"):
            _require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        _require(
            self.learning_rate is None or 0 < self.learning_rate < 10,
            "learning_rate",
            "above 0 and below 10",
            self.learning_rate,
        )
        _require(0 <= self.warmup < 1, "warmup", "in [0, 1)", self.warmup)
        _require(0 <= self.weight_decay < 1, "weight_decay", "in [0, 1)", self.weight_decay)
        _require(self.patience >= 0, "patience", "at least 0", self.patience)
        _require(self.max_tokens is None or self.max_tokens >= 16, "max_tokens", "at least 16", self.max_tokens)
        _require(self.row_tokens is None or self.row_tokens >= 64, "row_tokens", "at least 64", self.row_tokens)
        _require(self.seed >= 0, "seed", "at least 0", self.seed)
        known_device = re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device) is not None
        _require(known_device, "device", "auto, cpu, mps, cuda or cuda:N", self.device)
        _require(0 <= self.lora_dropout < 1, "lora_dropout", "in [0, 1)", self.lora_dropout)
        if self.shard:
            self._require_shards_can()
        if self.method is Method.PROBE:
            self._require_a_probe_can()
        if self.method is not Method.LORA:
            self._require_nothing_of_lora()

    def _require_a_probe_can(self) -> None:
        if self.ties not in {Ties.DROP, Ties.HALF}:
            raise BadConfig(f"ties={self.ties} needs method lora or full; method probe takes ties=half or ties=drop")
        if self.processes > 1:
            raise BadConfig(f"processes={self.processes} needs method lora or full; a probe trains in one process")
        for name in _NOT_FOR_PROBE:
            if getattr(self, name):
                raise BadConfig(f"{name} needs method lora or full, got {getattr(self, name)} with method probe")

    def _require_shards_can(self) -> None:
        if self.processes == 1:
            raise BadConfig("shard=true keeps the weights in pieces on several devices; set processes to how many")
        if self.precision is Precision.FP16 or self.quantise is not Quantise.NONE:
            raise BadConfig("shard=true takes neither precision=fp16 nor quantise")

    def _require_nothing_of_lora(self) -> None:
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        for name in _FOR_LORA_ALONE:
            if getattr(self, name) != defaults[name]:
                raise BadConfig(f"{name} needs method lora, got {getattr(self, name)} with method {self.method}")

    @property
    def peak_learning_rate(self) -> float:
        return DEFAULT_LEARNING_RATE[self.method] if self.learning_rate is None else self.learning_rate


def _require(holds: bool, name: str, right: str, value: object) -> None:  # noqa: FBT001 - reads as a sentence
    if not holds:
        raise BadConfig(f"{name} must be {right}, got {value}")


def require_extras(config: TrainConfig) -> None:
    """BadConfig if a setting needs a package that is not installed; nothing is imported."""
    if config.quantise is Quantise.FOUR_BIT and importlib.util.find_spec("bitsandbytes") is None:
        raise BadConfig("quantise=4bit needs the package bitsandbytes; get it with: pip install 'tiebreak[quant]'")


def config_from(settings: Mapping[str, object]) -> TrainConfig:
    """Build a config from text or typed values (`--set`, TOML, JSON); BadConfig names an unknown or invalid key."""
    return settings_of(TrainConfig, settings)


def settings_of(made: type[Settings], settings: Mapping[str, object]) -> Settings:
    """The same for any dataclass of settings."""
    kinds = get_type_hints(made)
    known = {field.name for field in dataclasses.fields(made)}  # type: ignore[arg-type]  # a dataclass
    for key in settings:
        if key not in known:
            raise BadConfig(f"unknown config key {key!r}; known keys are {', '.join(sorted(known))}")
    return made(**{key: _typed(key, value, kinds[key]) for key, value in settings.items()})


def config_from_toml(path: Path) -> dict[str, object]:
    """Settings of a TOML file, unchecked; pass them to `config_from`."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadConfig(f"config file {path} does not exist") from None
    except OSError as error:
        raise BadConfig(f"config file {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfig(f"config file {path} is not TOML: {error}") from None


def _typed(key: str, value: object, kind: object) -> object:
    if value is None and type(None) in get_args(kind):
        return None
    kind = next(k for k in (get_args(kind) or (kind,)) if k is not type(None))
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        try:
            return kind(str(value))
        except ValueError:
            raise BadConfig(f"{key} must be one of {', '.join(kind)}, got {value!r}") from None
    if kind is bool:
        return _truth(key, value)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise BadConfig(f"{key} must be {_word(kind)}, got {value!r}")
    try:
        return _number(value, kind) if kind in (int, float) else str(value)
    except ValueError:
        raise BadConfig(f"{key} must be {_word(kind)}, got {value!r}") from None


def _truth(key: str, value: object) -> bool:
    known = {"true": True, "false": False}
    if str(value).lower() not in known:
        raise BadConfig(f"{key} must be true or false, got {value!r}")
    return known[str(value).lower()]


def _number(value: str | float, kind: object) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    if kind is float:
        return number
    if number != int(number):
        raise ValueError(value)
    return int(number)


def _word(kind: object) -> str:
    return {int: "a whole number", float: "a number", str: "text"}.get(kind, "text")  # type: ignore[call-overload, no-any-return]  # object key
