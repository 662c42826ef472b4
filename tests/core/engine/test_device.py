import pytest
import torch

from core.config import Precision
from core.engine.device import choose_device, describe, half_precision
from core.errors import BadConfig


def test_auto_is_the_first_of_cuda_mps_and_cpu():
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"

    assert choose_device("auto").type == best
    assert choose_device("cpu") == torch.device("cpu")


def test_device_that_is_not_there_is_one_sentence():
    beyond = f"cuda:{torch.cuda.device_count()}"

    with pytest.raises(BadConfig, match=f"{beyond}.*auto would choose"):
        choose_device(beyond)


def test_description_of_the_cpu_says_what_makes_its_numbers():
    assert f"{torch.get_num_threads()} threads" in describe(torch.device("cpu"))


@pytest.mark.parametrize(
    ("wanted", "computed"),
    [("auto", None), ("fp32", None), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
def test_a_cpu_computes_in_half_precision_only_when_told(wanted, computed):
    assert half_precision(Precision(wanted), torch.device("cpu")) is computed
