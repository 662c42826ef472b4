"""Which device a run computes on."""

import platform
import time

import psutil
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


def free_memory(device: torch.device) -> int:
    """Bytes that a run could take on the device now."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = int(psutil.virtual_memory().available)
    if device.type == "mps":  # shares the machine's memory, up to what Metal lets a process take
        return min(free, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return free


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a square matrix product, the best of what fits in a fifth of a second."""
    width = 1024 if device.type == "cpu" else 4096
    matrix = torch.ones((width, width), dtype=dtype, device=device)
    matrix @ matrix
    least, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < 0.2:
        start = time.perf_counter()
        (matrix @ matrix)[0, 0].item()  # waits for the device
        least = min(least, time.perf_counter() - start)
    return 2 * width**3 / least
