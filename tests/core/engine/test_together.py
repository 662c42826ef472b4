"""Two processes over gloo train as one process does; whoever dies, nothing hangs and nobody is left."""

import itertools
from dataclasses import replace

import psutil
import pytest
import torch

from core.config import Method, Ties, TrainConfig
from core.engine import prepare, together
from core.engine.attention import Sharing
from core.engine.ranks import Ranks
from core.engine.tokens import Tokens
from core.engine.train import check_sharing, evaluate, train
from core.errors import RunFailed
from tests.core.engine import tiny

SETTINGS = {"method": Method.FULL, "learning_rate": 3e-3, "batch_pairs": 4, "epochs": 2}
TWO = ("cpu", "cpu")


def of_groups(num_train, num_valid):
    """Pairs of several weights, some prompts with three responses."""
    pairs = tiny.snapshot(num_train, num_valid)
    for number, first in enumerate(pairs[:4]):
        other = replace(first.pair, response_b=f"{first.pair.response_b} {tiny.words(3, seed=number)}")
        pairs.append(replace(first, pair=other, pair_id=1000 + number, weight=2.5))
    return pairs


def start(load, backbone, pairs, **settings):
    config = TrainConfig(backbone=backbone, processes=2, **{**SETTINGS, **settings})
    loaded = load(backbone, processes=2, **{**SETTINGS, **settings})
    return loaded, config, tiny.prepared(loaded, config, pairs)


def tokens(side):
    """Without its text, which training does not need."""
    return Tokens(input_ids=side.input_ids, response_start=side.response_start, trimmed=side.trimmed)


def in_two(loaded, config, prepared, state):
    sharing = check_sharing(loaded, prepared)
    return together.train(loaded, config, prepared, devices=TWO, sharing=sharing, state=state)


def test_prepared_pairs_are_read_as_they_were_written(load, decoder, tmp_path):
    _, _, prepared = start(load, decoder, of_groups(5, 3))

    prepare.write(prepared, tmp_path / "pairs")

    found = prepare.read(tmp_path / "pairs")
    assert found.counts == prepared.counts
    for part in ("train", "valid"):
        expected = [replace(one, a=tokens(one.a), b=tokens(one.b)) for one in getattr(prepared, part)]
        assert list(getattr(found, part)) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "settings"),
    [
        ("decoder", {"method": Method.FULL}),
        ("decoder", {"method": Method.LORA, "accumulation": 2, "ties": Ties.DAVIDSON}),
        ("encoder", {"method": Method.FULL}),
        ("encoder", {"method": Method.LORA, "gradient_checkpointing": True}),
        ("decoder", {"method": Method.FULL, "shard": True, "gradient_checkpointing": True}),
        ("encoder", {"method": Method.LORA, "shard": True}),
    ],
    ids=str,
)
def test_two_processes_give_the_losses_of_one(load, request, tmp_path, backbone, settings):
    # 17 pairs in steps of 4: the last step has one pair, and one of the processes nothing to compute.
    pairs = of_groups(13, 7)
    folder = request.getfixturevalue(backbone)
    alone, config, prepared = start(load, folder, pairs, **settings)
    loaded, _, _ = start(load, folder, pairs, **settings)
    assert check_sharing(alone, prepared).refused is None or backbone == "encoder"

    expected = list(train(alone, config, prepared))
    found = list(in_two(loaded, config, prepared, tmp_path / "state"))

    assert len(prepared.train) == 17
    assert len(found) == len(expected)
    for one, two in zip(expected, found, strict=True):
        assert two.loss == pytest.approx(one.loss, abs=1e-5)
        assert two.accuracy == pytest.approx(one.accuracy)
        assert two.gradient_norm == pytest.approx(one.gradient_norm, abs=1e-4)
        assert two.valid_nll == pytest.approx(one.valid_nll, abs=1e-5)
        assert two.is_best == one.is_best
    best = min(step.valid_nll for step in found if step.valid_nll is not None)
    assert evaluate(loaded, config, tiny.planner(loaded, config, prepared.valid)).nll == pytest.approx(best, abs=1e-5)
    assert loaded.tie_parameter == pytest.approx(alone.tie_parameter, abs=1e-5)
    assert not (tmp_path / "together").exists()


@pytest.mark.slow
def test_two_processes_stop_early_where_one_does(load, decoder, tmp_path):
    settings = {"epochs": 20, "patience": 2, "learning_rate": 3e-2}
    alone, config, prepared = start(load, decoder, tiny.snapshot(16, 8), **settings)
    loaded, _, _ = start(load, decoder, tiny.snapshot(16, 8), **settings)

    expected = [step.step for step in train(alone, config, prepared)]
    found = [step.step for step in in_two(loaded, config, prepared, tmp_path / "state")]

    assert found == expected
    assert found[-1] < 80  # 20 epochs of 16 / 4 steps


@pytest.mark.slow
def test_no_more_pulling_stops_all_processes_and_leaves_the_best_weights_so_far(load, decoder, tmp_path):
    loaded, config, prepared = start(load, decoder, tiny.snapshot(16, 8), epochs=50, patience=0, learning_rate=3e-2)
    steps = in_two(loaded, config, prepared, tmp_path / "state")

    best = [step.valid_nll for step in itertools.islice(steps, 30) if step.is_best][-1]
    processes = processes_of_the_job()
    steps.close()

    kept = evaluate(loaded, config, tiny.planner(loaded, config, prepared.valid))
    assert kept.nll == pytest.approx(best, abs=1e-5)
    assert not loaded.model.training
    assert len(processes) == 2
    assert are_gone(processes)


@pytest.mark.slow
def test_weights_in_pieces_resume_to_those_of_an_uninterrupted_run(load, decoder, tmp_path):
    found, whole = [], {}
    for name, steps in (("whole", None), ("resumed", 9), ("resumed", None)):
        loaded, config, prepared = start(load, decoder, tiny.snapshot(16, 8), epochs=3, shard=True)
        pulled = in_two(loaded, config, prepared, tmp_path / name / "state")
        found.append([step.step for step in itertools.islice(pulled, steps)])
        pulled.close()
        weights = {key: weight.clone() for key, weight in loaded.model.state_dict().items()}
        whole = whole or weights

    assert found == [list(range(13)), list(range(9)), list(range(9, 13))]
    assert all(torch.equal(weights[key], whole[key]) for key in whole)


@pytest.mark.slow
def test_a_killed_process_fails_the_run_in_a_sentence_and_takes_the_others_along(load, decoder, tmp_path):
    loaded, config, prepared = start(load, decoder, tiny.snapshot(16, 8), epochs=500, patience=0)
    steps = in_two(loaded, config, prepared, tmp_path / "state")
    next(steps)
    processes = processes_of_the_job()
    (second,) = [one for one in processes if one.environ()["RANK"] == "1"]

    second.kill()

    with pytest.raises(RunFailed, match=r"^process 2 of 2 \(cpu\) ended without a word: it was killed"):
        list(steps)
    assert are_gone(processes)


@pytest.mark.slow
def test_what_a_process_says_when_it_cannot_go_on_is_what_the_run_says(load, encoder, tmp_path):
    loaded, config, prepared = start(load, encoder, tiny.snapshot(8))

    wrongly_shared = together.train(
        loaded, config, prepared, devices=TWO, sharing=Sharing(refused=None), state=tmp_path / "state"
    )

    with pytest.raises(RunFailed, match=r"^process [12] of 2 \(cpu\) cannot share prompts .* an encoder"):
        next(wrongly_shared)


@pytest.mark.slow
def test_an_error_that_nobody_foresaw_is_one_short_sentence(load, decoder, tmp_path):
    loaded, config, prepared = start(load, decoder, tiny.snapshot(8))
    (tmp_path / "state").write_bytes(b"no state of a training")

    with pytest.raises(RunFailed, match=r"^process [12] of 2 \(cpu\) failed, SafetensorError: .*; the traceback is"):
        next(in_two(loaded, config, prepared, tmp_path / "state"))


@pytest.mark.parametrize("sizes", [[], [5], [9, 1, 1, 1, 6], [3] * 7])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_shares_hold_everything_once_and_differ_by_no_more_than_the_largest(sizes, size):
    shares = [Ranks(rank=rank, size=size, device=torch.device("cpu")).share(sizes) for rank in range(size)]

    assert sorted(itertools.chain(*shares)) == list(range(len(sizes)))
    load = [sum(sizes[place] for place in share) for share in shares]
    assert max(load) - min(load) <= max(sizes, default=0)


def processes_of_the_job() -> list[psutil.Process]:
    """Those that train; torchrun, which started them, is none."""
    below = psutil.Process().children(recursive=True)
    return [one for one in below if "core.engine.together" in one.cmdline() and "RANK" in one.environ()]


def are_gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=30)
    return not alive
