"""Checkpoints and public classifiers as labelers."""

import json
import math

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from core.config import TrainConfig
from core.engine import checkpoint
from core.engine.model import load_backbone
from core.engine.score import score_texts
from core.errors import BadConfig
from core.judging import LabelerConfig, Mode, Source
from core.labelers import labeler_of, parse
from tests.core.engine.tiny import pair, save_decoder
from tests.core.labelers.asked import request_of


def labeler(folder):
    return labeler_of(LabelerConfig(source=Source.REWARD_MODEL, model=str(folder)), device="cpu")


def test_a_checkpoint_answers_with_its_calibrated_probability(tmp_path):
    config = TrainConfig(backbone=save_decoder(tmp_path / "backbone"), method="full")
    loaded = load_backbone(config, torch.device("cpu"))
    checkpoint.save(
        loaded, config, tmp_path / "made", temperature=2.0, canary_pairs=[pair(seed) for seed in range(4)], card="card"
    )
    request = request_of("red blue", "green stone", "river")
    first, second = score_texts(loaded, [(request.pair.prompt, one) for one in (request.first, request.second)])

    (attempt,) = labeler(tmp_path / "made").attempts([request])

    answer = parse.read(attempt, request, Mode.LOG_PROB)
    assert answer.p_first == pytest.approx(1 / (1 + math.exp(-(first - second) / 2.0)), abs=1e-5)


def test_a_public_classifier_answers_with_its_raw_logits(tmp_path):
    backbone = save_decoder(tmp_path / "backbone")
    model = AutoModelForSequenceClassification.from_pretrained(backbone, num_labels=1)
    model.save_pretrained(backbone)

    (attempt,) = labeler(backbone).attempts([request_of("red", "blue", "green")])

    chances = json.loads(attempt.log_probs)
    assert math.exp(chances["A"]) + math.exp(chances["B"]) == pytest.approx(1.0)


def test_a_classifier_of_several_labels_is_no_reward_model(tmp_path):
    backbone = save_decoder(tmp_path / "backbone")
    AutoModelForSequenceClassification.from_pretrained(backbone, num_labels=3).save_pretrained(backbone)

    with pytest.raises(BadConfig, match="must have one label, it has 3"):
        labeler(backbone).check()


def test_a_backbone_has_no_reward():
    with pytest.raises(BadConfig, match="without a reward"):
        labeler("minilm")
