"""What this machine has, without loading torch: devices, memory, disk."""

import importlib.metadata
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from core.errors import BadConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device that runs one run at a time. Memory in bytes; None where it is not known."""

    name: str  # cpu, mps, cuda:N
    title: str
    used: int | None = None
    total: int | None = None


def devices() -> list[Device]:
    """GPUs first, the CPU last."""
    found = _gpus()
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        found.append(Device(name="mps", title="Apple GPU"))
    memory = psutil.virtual_memory()
    title = f"CPU, {psutil.cpu_count()} threads"
    return [*found, Device(name="cpu", title=title, used=memory.total - memory.available, total=memory.total)]


def device_named(setting: str) -> str:
    """The device that a setting means here: `auto` is the first one, `cuda` the first GPU."""
    return _named(setting, [device.name for device in devices()])


def devices_named(setting: str, *, processes: int, there: Sequence[Device]) -> list[str]:
    """A device for each process: the one that the setting means and those after it of its kind; a CPU serves all."""
    names = [device.name for device in there]
    first = _named(setting, names)
    if first == "cpu":
        return [first] * processes
    alike = [name for name in names if name.split(":")[0] == first.split(":")[0]]
    chosen = alike[alike.index(first) :][:processes]
    if len(chosen) < processes:
        raise BadConfig(
            f"processes={processes} needs {processes} devices, one each; from {first} on this machine has {len(chosen)}"
        )
    return chosen


def _named(setting: str, names: Sequence[str]) -> str:
    if setting == "auto":
        return names[0]
    wanted = "cuda:0" if setting == "cuda" else setting
    if wanted not in names:
        raise BadConfig(f"device {setting!r} is not on this machine; it has {', '.join(names)}")
    return wanted


def _gpus() -> list[Device]:
    # A CPU build of torch cannot use a GPU that the driver shows.
    if re.search(r"\+cpu$", importlib.metadata.version("torch")):
        return []
    import pynvml  # noqa: PLC0415 - optional: only where there may be a GPU

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    found = []
    for index in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        title = str(pynvml.nvmlDeviceGetName(handle))
        found.append(Device(name=f"cuda:{index}", title=title, used=int(memory.used), total=int(memory.total)))
    return found
