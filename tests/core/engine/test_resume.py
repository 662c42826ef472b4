"""Killed at any moment, a run goes on to the weights it would have had, bit for bit on a CPU."""

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from core.config import Method, TrainConfig
from core.engine.train import train
from core.errors import RunFailed
from tests.core.engine import tiny

SETTINGS = {"method": Method.LORA, "learning_rate": 3e-3, "batch_pairs": 4, "epochs": 6, "patience": 0}


def trained(load, backbone, state, *, steps=None, **settings):
    """The weights after training, or after as many steps as pulled."""
    config = TrainConfig(backbone=backbone, **{**SETTINGS, **settings})
    loaded = load(backbone, **{**SETTINGS, **settings})
    pulling = train(loaded, config, tiny.prepared(loaded, config, tiny.snapshot(24, 8)), state=state)
    for number, _ in enumerate(pulling):
        if number == steps:
            break
    pulling.close()
    return {name: weight.clone() for name, weight in loaded.model.state_dict().items()}


def assert_equal(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


# With dropout every step draws from the generator, whose place must be kept too.
@pytest.mark.parametrize("settings", [{}, {"lora_dropout": 0.3, "dora": True}], ids=str)
@pytest.mark.parametrize("backbone", ["decoder", "encoder"])
def test_resumed_run_ends_at_the_weights_of_an_uninterrupted_one(load, request, tmp_path, backbone, settings):
    backbone = request.getfixturevalue(backbone)
    whole = trained(load, backbone, None, **settings)

    trained(load, backbone, tmp_path / "state", steps=20, **settings)
    assert (tmp_path / "state").exists()
    resumed = trained(load, backbone, tmp_path / "state", **settings)

    assert_equal(resumed, whole)


def test_run_killed_after_it_stopped_early_stays_stopped(load, decoder, tmp_path):
    settings = {"method": Method.FULL, "learning_rate": 3e-2, "epochs": 20, "patience": 2}
    whole = trained(load, decoder, tmp_path / "state", **settings)  # the worker, not training, removes the state
    config = TrainConfig(backbone=decoder, **{**SETTINGS, **settings})
    loaded = load(decoder, **{**SETTINGS, **settings})

    steps = list(train(loaded, config, tiny.prepared(loaded, config, tiny.snapshot(24, 8)), state=tmp_path / "state"))

    assert steps == []
    assert_equal(dict(loaded.model.state_dict()), whole)


def test_run_killed_while_its_nll_was_stale_stops_at_the_same_step(load, decoder, tmp_path):
    settings = {**SETTINGS, "method": Method.FULL, "learning_rate": 3e-2, "epochs": 20, "patience": 2}
    config, pairs = TrainConfig(backbone=decoder, **settings), tiny.snapshot(24, 8)

    def pulled(state, *, most=None):
        loaded = load(decoder, **settings)
        steps = train(loaded, config, tiny.prepared(loaded, config, pairs), state=state)
        found = [step.step for step in itertools.islice(steps, most)]
        steps.close()
        return found

    whole = pulled(None)
    assert whole[-1] < 120  # 20 epochs of 24 / 4 steps: it stopped early

    # The last step but one evaluation: 120 / 8 steps lie between two of them.
    before = pulled(tmp_path / "state", most=whole[-1] - 10)
    after = pulled(tmp_path / "state")

    assert before[-1] < after[0] + 15
    assert after[-1] == whole[-1]


def test_keeping_the_state_changes_nothing(load, decoder, tmp_path):
    assert_equal(trained(load, decoder, tmp_path / "state"), trained(load, decoder, None))


def test_state_of_other_settings_is_refused_in_one_sentence(load, decoder, tmp_path):
    trained(load, decoder, tmp_path / "state", steps=20)

    with pytest.raises(RunFailed, match="other settings or pairs"):
        trained(load, decoder, tmp_path / "state", seed=1)


def test_partial_file_of_a_kill_within_a_save_is_not_read(load, decoder, tmp_path):
    trained(load, decoder, tmp_path / "state", steps=20)
    (tmp_path / "state.partial").write_bytes(b"half a state")

    assert_equal(trained(load, decoder, tmp_path / "state"), trained(load, decoder, None))


@pytest.mark.slow
def test_killed_at_three_moments_one_within_a_save_it_ends_at_the_same_weights(load, decoder, tmp_path):
    whole = trained(load, decoder, None, epochs=40)
    state = tmp_path / "state"
    moment = random.Random(0)

    for kill in range(3):
        command = [sys.executable, "-c", _CHILD, decoder, str(state)]
        with subprocess.Popen(command, cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, text=True) as child:
            for _ in range(moment.randrange(20, 60)):
                assert child.stdout.readline()
            partial, deadline = state.with_name("state.partial"), time.monotonic() + 60
            while kill == 1 and not partial.exists() and child.poll() is None and time.monotonic() < deadline:
                pass
            os.kill(child.pid, signal.SIGKILL)

    assert state.exists()
    assert_equal(trained(load, decoder, state, epochs=40), whole)


# Slower than the test's own run, so that there is a moment to kill it in; keeps its state at every step.
_CHILD = """
import sys, time
from pathlib import Path
import torch
from core.config import TrainConfig
from core.engine import train as training
from core.engine.model import load_backbone
from tests.core.engine import tiny
from tests.core.engine.test_resume import SETTINGS

training.KEEP_SECONDS = 0.0
config = TrainConfig(backbone=sys.argv[1], **{**SETTINGS, "epochs": 40})
loaded = load_backbone(config, torch.device("cpu"))
prepared = tiny.prepared(loaded, config, tiny.snapshot(24, 8))
for step in training.train(loaded, config, prepared, state=Path(sys.argv[2])):
    print(step.step, flush=True)
    time.sleep(0.01)
"""
