import pytest

from core.errors import BadConfig
from ui.machine import Device, devices_named

CPU = Device(name="cpu", title="CPU")
GPUS = [Device(name=f"cuda:{index}", title="a GPU") for index in range(4)]


@pytest.mark.parametrize(
    ("setting", "processes", "there", "expected"),
    [
        ("auto", 1, [CPU], ["cpu"]),
        ("cpu", 3, [*GPUS, CPU], ["cpu", "cpu", "cpu"]),
        ("auto", 2, [*GPUS, CPU], ["cuda:0", "cuda:1"]),
        ("cuda", 4, [*GPUS, CPU], ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]),
        ("cuda:2", 2, [*GPUS, CPU], ["cuda:2", "cuda:3"]),
    ],
)
def test_each_process_has_a_device_from_the_named_one_on(setting, processes, there, expected):
    assert devices_named(setting, processes=processes, there=there) == expected


def test_more_processes_than_devices_are_refused_with_their_number():
    with pytest.raises(BadConfig, match="processes=3 needs 3 devices, one each; from cuda:2 on this machine has 2"):
        devices_named("cuda:2", processes=3, there=[*GPUS, CPU])


def test_device_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(BadConfig, match="device 'cuda:7' is not on this machine; it has cuda:0"):
        devices_named("cuda:7", processes=2, there=[*GPUS, CPU])
