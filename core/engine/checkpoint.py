"""What a training run publishes: a folder that a public library loads, with what proves that it does."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from core.config import Method, Quantise, Ties, TrainConfig
from core.engine import adapters, canaries
from core.engine.backbone import Backbone
from core.engine.card import HEADING, how_to_load
from core.engine.model import Loaded, RewardModel
from core.engine.objective import TieParameter
from core.engine.tokens import TokenRules
from core.errors import NotFound, RunFailed
from core.records import Pair

FACTS, CANARIES, CARD = "tiebreak.json", "canaries.jsonl", "README.md"
_POOLING, _DENSE = "1_Pooling", "2_Dense"


def save(
    loaded: Loaded,
    config: TrainConfig,
    folder: Path,
    *,
    temperature: float | None,
    canary_pairs: Sequence[Pair],
    card: str,
) -> float:
    """Write a checkpoint beside its place, then rename; a full disk leaves nothing and is one sentence.

    Nothing that was in the folder stays: an adapter_config.json from before would be applied to the new weights.

    Returns:
        By how much a canary's reward in the run's own precision differs from that of the published float32 weights, at
        most; 0 if the run's is float32.
    """
    with _beside(folder) as beside:
        _save_model(loaded, beside)
        chosen = canaries.choose(loaded, canary_pairs)
        _write_facts(loaded, config, beside, temperature, pooled=chosen[0].row.input_ids[-1])
        of_run = canaries.rewards(loaded, chosen)
        published = loaded if _is_exact(loaded) else load(beside, torch.device("cpu"))
        of_published = of_run if published is loaded else canaries.rewards(published, chosen)
        lines = [one.as_line(reward) for one, reward in zip(chosen, of_published, strict=True)]
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (beside / CANARIES).write_text(text, encoding="utf-8")
        (beside / CARD).write_text(card + how_to_load(beside), encoding="utf-8")
    return max(abs(one - other) for one, other in zip(of_run, of_published, strict=True))


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A new folder that takes the place of `folder` when all is written, and is gone if that fails."""
    beside = folder.with_name(folder.name + ".partial")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        yield beside
        if folder.exists():
            shutil.rmtree(folder)
        beside.replace(folder)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise RunFailed(f"the checkpoint could not be written to {folder}: {error.strerror or error}") from None
    except Exception as error:
        shutil.rmtree(beside, ignore_errors=True)
        # safetensors and tokenizers report a full disk as errors of their own: "No space left on device (os error 28)".
        if "(os error" in str(error):
            words = str(error).splitlines()[0]
            raise RunFailed(f"the checkpoint could not be written to {folder}: {words}") from None
        raise


def merge(folder: Path, destination: Path) -> None:
    """Write a published adapter's checkpoint as a plain folder: the same rewards without the backbone beside it."""
    loaded = load(folder, torch.device("cpu"))
    with _beside(destination) as beside:
        _save_model(loaded, beside)
        for name in (FACTS, CANARIES):
            shutil.copy(folder / name, beside)
        before, _, _ = (folder / CARD).read_text(encoding="utf-8").partition(HEADING)
        (beside / CARD).write_text(before + how_to_load(beside), encoding="utf-8")


def load(folder: Path, device: torch.device) -> Loaded:
    """A published checkpoint, ready to score."""
    facts = _facts(folder)
    rules = TokenRules(**facts["rules"])
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    backbone = Backbone(**facts["backbone"])
    if (folder / adapters.CONFIG).exists():
        model = _of_shell(adapters.load_merged(folder, backbone, tokenizer, quantisation=facts["quantisation"]))
    else:
        model = (_load_decoder if rules.pooling == "last" else _load_encoder)(folder)
    # Checkpoints from before ties could be learned do not name it.
    if facts.get("tie_parameter") is not None:
        model.tie_parameter = TieParameter(Ties(facts["config"]["ties"]), facts["tie_parameter"])
    return Loaded(
        model=model.to(device).eval(),
        tokenizer=tokenizer,
        rules=rules,
        device=device,
        backbone=backbone,
        temperature=facts["temperature"],
    )


def _facts(folder: Path) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(f"{folder} is no Tiebreak checkpoint: it has no {FACTS}") from None
    return facts


def _load_decoder(folder: Path) -> RewardModel:
    return _of_shell(
        AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32, trust_remote_code=False)
    )


def _of_shell(shell: Any) -> RewardModel:
    return RewardModel(shell.base_model, shell.score, pooling="last", shell=shell)


def _load_encoder(folder: Path) -> RewardModel:
    backbone = AutoModel.from_pretrained(folder, dtype=torch.float32, trust_remote_code=False)
    weight = load_file(folder / _DENSE / "model.safetensors")["linear.weight"]
    head = nn.Linear(weight.shape[1], 1, bias=False)
    with torch.no_grad():
        head.weight.copy_(weight)
    return RewardModel(backbone, head, pooling="mean")


def _save_model(loaded: Loaded, folder: Path) -> None:
    model = loaded.model
    if model.pooling == "mean":
        # No public class has an adapter beneath a mean and a Dense layer, so here it is merged.
        backbone = adapters.merged(model.backbone) if adapters.are_on(model.backbone) else model.backbone
        _save_sentence_transformer(loaded, backbone, folder)
        return
    loaded.tokenizer.save_pretrained(folder)
    if adapters.are_on(model.backbone):
        adapters.save(model.backbone, model.shell, loaded.backbone, folder)
        return
    shell: Any = model.shell
    shell.config.num_labels, shell.config.problem_type = 1, "regression"
    shell.save_pretrained(folder, safe_serialization=True)


def _save_sentence_transformer(loaded: Loaded, backbone: nn.Module, folder: Path) -> None:
    """Transformer, mean Pooling, no Normalize, Dense to one without bias, as sentence-transformers 2 and later read it.

    Written by hand: importing that library takes seconds, and the proof in a fresh process shows that it loads.
    """
    backbone.save_pretrained(folder, safe_serialization=True)  # type: ignore[operator]  # a PreTrainedModel
    loaded.tokenizer.save_pretrained(folder)
    width = loaded.model.head.in_features
    parts = [("", "Transformer"), (_POOLING, "Pooling"), (_DENSE, "Dense")]
    modules = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (path, kind) in enumerate(parts)
    ]
    _write_json(folder / "modules.json", modules)
    _write_json(folder / "sentence_bert_config.json", {"max_seq_length": loaded.rules.max_tokens})
    _write_json(
        folder / _POOLING / "config.json", {"word_embedding_dimension": width, "pooling_mode_mean_tokens": True}
    )
    identity = "torch.nn.modules.linear.Identity"
    dense = {"in_features": width, "out_features": 1, "bias": False, "activation_function": identity}
    _write_json(folder / _DENSE / "config.json", dense)
    weight = loaded.model.head.weight.detach().float().cpu().contiguous()
    save_file({"linear.weight": weight}, folder / _DENSE / "model.safetensors")


def _write_json(file: Path, content: object) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _write_facts(loaded: Loaded, config: TrainConfig, folder: Path, temperature: float | None, *, pooled: int) -> None:
    facts = {
        "temperature": temperature,
        "tie_parameter": loaded.tie_parameter,
        "rules": asdict(loaded.rules),
        "pooled_token_id": pooled if loaded.rules.pooling == "last" else None,
        "pad_token_id": loaded.tokenizer.pad_token_id,
        "backbone": asdict(loaded.backbone),
        "method": Method(config.method).value,
        "quantisation": None if config.quantise is Quantise.NONE else adapters.FOUR_BIT,
        "config": asdict(config),
    }
    _write_json(folder / FACTS, facts)


def _is_exact(loaded: Loaded) -> bool:
    """Whether the run computed with the weights that are published, not with rounded ones."""
    return all(one.dtype in {torch.float32, torch.float64} for one in loaded.model.backbone.parameters())
