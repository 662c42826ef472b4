"""Which device a run computes on."""

import platform

import torch

from core.config import Precision
from core.errors import BadConfig


def choose_device(name: str) -> torch.device:
    """`auto` is the first of CUDA, MPS, CPU. BadConfig if a named device is not there."""
    if name == "auto":
        return torch.device(_best())
    device = torch.device(name)
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    too_many = device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()
    if not there.get(device.type, False) or too_many:
        raise BadConfig(f"device {name!r} is not on this machine; auto would choose {_best()}")
    return device


def _best() -> str:
    if torch.cuda.is_available():
        return "cuda:0"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def half_precision(wanted: Precision, device: torch.device) -> torch.dtype | None:
    """What a run computes in below float32; None where it does not."""
    if wanted is Precision.AUTO:
        if device.type != "cuda":
            return None
        # Older GPUs only imitate bf16, slowly.
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return {Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}.get(wanted)


def describe(device: torch.device) -> str:
    """The device in words, with what makes its numbers reproducible."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({device})"
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    return f"{device} ({platform.machine()}{threads})"
