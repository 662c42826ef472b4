import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.config import Method, TrainConfig
from core.engine.estimate import GroupTokens, Workload, estimate, require_fit, workload_of_texts, workload_of_tokens
from core.engine.flops import Arithmetic
from core.engine.model import empty_model
from core.errors import NotFound, RunFailed
from core.records import Part
from tests.core.engine import tiny

CPU = torch.device("cpu")
WORK = Workload(train=(GroupTokens(prompt=40, responses=(30, 30)),) * 8)


def config(backbone, **settings):
    return TrainConfig(backbone=backbone, **{"method": Method.FULL, "batch_pairs": 4, **settings})


@pytest.mark.parametrize("method", [Method.FULL, Method.LORA])
@pytest.mark.parametrize("backbone", ["decoder", "encoder"])
def test_what_has_no_weights_has_the_parameters_of_what_is_loaded(load, request, backbone, method):
    folder = request.getfixturevalue(backbone)

    empty = empty_model(config(folder, method=method), dtype=torch.float32)

    loaded = load(folder, method=method).model
    sizes = [{n: (p.shape, p.requires_grad) for n, p in model.named_parameters()} for model in (empty, loaded)]
    assert sizes[0] == sizes[1]


def test_full_training_keeps_weights_gradients_two_moments_and_the_best(load, decoder):
    numbers = sum(p.numel() for p in load(decoder).model.parameters())

    found = estimate(config(decoder, row_tokens=64), WORK, CPU)

    memory = found.memory
    assert (memory.weights, memory.gradients, memory.best) == (4 * numbers,) * 3  # float32
    assert memory.optimizer == 8 * numbers
    assert memory.total == 20 * numbers + memory.activations


def test_lora_keeps_gradients_of_what_it_trains_alone(load, decoder):
    model = load(decoder, method=Method.LORA).model
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)

    memory = estimate(config(decoder, method=Method.LORA), WORK, CPU).memory

    assert memory.gradients == 4 * trained
    assert memory.weights > memory.gradients


def deep(folder, decoder, *, layers=12):
    """A config alone, of a model with more layers."""
    facts = json.loads((Path(decoder) / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(facts | {"num_hidden_layers": layers}))
    return str(folder)


def test_checkpointing_and_smaller_rows_keep_less_for_the_backward_pass(tmp_path, decoder):
    backbone = deep(tmp_path, decoder)

    plain = estimate(config(backbone, row_tokens=300), WORK, CPU)
    smaller = estimate(config(backbone, row_tokens=100), WORK, CPU)
    again = estimate(config(backbone, row_tokens=300, gradient_checkpointing=True), WORK, CPU)

    assert (plain.pass_tokens, smaller.pass_tokens) == (300, 100)
    assert smaller.memory.activations < plain.memory.activations
    assert again.memory.activations < plain.memory.activations
    assert plain.seconds > 0


def test_a_padded_pass_is_both_sides_of_its_pairs_at_the_longest_length(encoder):
    work = replace(WORK, train=(*WORK.train, GroupTokens(prompt=40, responses=(30, 50))))

    assert estimate(config(encoder), work, CPU).pass_tokens == 2 * 4 * 90


def test_a_config_is_enough_and_weights_are_not_looked_for(tmp_path, decoder):
    backbone = deep(tmp_path, decoder)

    assert estimate(config(backbone), WORK, CPU).parameters > 0
    with pytest.raises(NotFound, match="nowhere"):
        estimate(config(str(tmp_path / "nowhere")), WORK, CPU)


def test_tokens_of_pairs_share_their_prompt_and_are_cut_into_steps(load, decoder):
    loaded = load(decoder)
    pairs = [tiny.snapshot_pair(1), tiny.snapshot_pair(2, part=Part.VALID)]
    tokens = tiny.encoded(loaded, [one.pair for one in pairs])

    exact = workload_of_tokens(
        config(decoder), [(p.part, p.pair.prompt_hash, t) for p, t in zip(pairs, tokens, strict=True)]
    )
    rough = workload_of_texts(config(decoder), pairs)

    (group,) = exact.train
    assert [group.prompt + one for one in group.responses] == [len(side.input_ids) for side in tokens[0]]
    assert len(exact.valid) == len(rough.train) == len(rough.valid) == 1


def test_operations_are_twice_the_weights_a_token_and_the_squares():
    one = Arithmetic(weights=10, attention=3, is_causal=True)

    assert one.forward(tokens=5, squares=25) == 2 * 10 * 5 + 2 * 3 * 25
    assert replace(one, is_causal=False).forward(tokens=5, squares=25) == 2 * 10 * 5 + 4 * 3 * 25


@pytest.mark.parametrize("method", list(Method))
def test_what_cannot_fit_is_refused_by_its_config_alone(tmp_path, decoder, method):
    facts = json.loads((Path(decoder) / "config.json").read_text())
    sizes = {"hidden_size": 65536, "intermediate_size": 262144, "num_hidden_layers": 80, "head_dim": 32768}
    (tmp_path / "config.json").write_text(json.dumps(facts | sizes))  # 5 trillion parameters, and no weights

    with pytest.raises(RunFailed, match="no method and no smaller pass would fit"):
        require_fit(config(str(tmp_path), method=method), WORK, CPU)


def test_what_fits_is_estimated_and_not_refused(decoder):
    assert require_fit(config(decoder), WORK, CPU).fits
