"""What a training run publishes: a folder that a public library loads, with what proves that it does."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from core.config import Method, Ties, TrainConfig
from core.engine.backbone import Backbone
from core.engine.model import Loaded, RewardModel
from core.engine.objective import TieParameter
from core.engine.score import rewards_of
from core.engine.tokens import TokenRules, encode
from core.errors import NotFound, RunFailed
from core.records import Message, Pair

FACTS, CANARIES, CARD = "tiebreak.json", "canaries.jsonl", "README.md"
LEAST_CANARIES = 8
TOLERANCE = 1e-4  # float32, another batch shape
_POOLING, _DENSE = "1_Pooling", "2_Dense"


def save(
    loaded: Loaded,
    config: TrainConfig,
    folder: Path,
    *,
    temperature: float | None,
    canary_pairs: Sequence[Pair],
    card: str,
) -> None:
    """Write a checkpoint beside its place, then rename; a full disk leaves nothing and is one sentence."""
    beside = folder.with_name(folder.name + ".partial")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        canaries = _canaries(loaded, canary_pairs)
        _save_model(loaded, beside)
        _write_facts(loaded, config, beside, temperature, canaries)
        lines = (json.dumps(canary, ensure_ascii=False) for canary in canaries)
        (beside / CANARIES).write_text("\n".join(lines) + "\n", encoding="utf-8")
        (beside / CARD).write_text(card, encoding="utf-8")
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


def load(folder: Path, device: torch.device) -> Loaded:
    """A published checkpoint, ready to score."""
    facts = _facts(folder)
    rules = TokenRules(**facts["rules"])
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    model = (_load_decoder if rules.pooling == "last" else _load_encoder)(folder)
    # Checkpoints from before ties could be learned do not name it.
    if facts.get("tie_parameter") is not None:
        model.tie_parameter = TieParameter(Ties(facts["config"]["ties"]), facts["tie_parameter"])
    return Loaded(
        model=model.to(device).eval(),
        tokenizer=tokenizer,
        rules=rules,
        device=device,
        backbone=Backbone(**facts["backbone"]),
        temperature=facts["temperature"],
    )


def _facts(folder: Path) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(f"{folder} is no Tiebreak checkpoint: it has no {FACTS}") from None
    return facts


def _load_decoder(folder: Path) -> RewardModel:
    shell = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32, trust_remote_code=False)
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
    backbone = model.backbone
    if hasattr(backbone, "merge_and_unload"):
        # A copy is merged: the caller may go on scoring with the adapter in place.
        backbone = _merged(backbone)
    if model.pooling == "last":
        _save_decoder(model, backbone, folder)
        loaded.tokenizer.save_pretrained(folder)
    else:
        _save_sentence_transformer(loaded, backbone, folder)


def _merged(backbone: nn.Module) -> nn.Module:
    import copy  # noqa: PLC0415 - only adapters need it

    merged: nn.Module = copy.deepcopy(backbone).merge_and_unload()  # type: ignore[operator]  # a PeftModel
    return merged


def _save_decoder(model: RewardModel, backbone: nn.Module, folder: Path) -> None:
    shell: Any = model.shell
    own = shell.base_model_prefix
    before = getattr(shell, own)
    setattr(shell, own, backbone)
    try:
        shell.config.num_labels, shell.config.problem_type = 1, "regression"
        shell.save_pretrained(folder, safe_serialization=True)
    finally:
        setattr(shell, own, before)


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


def _canaries(loaded: Loaded, pairs: Sequence[Pair]) -> list[dict[str, object]]:
    """Texts with the rewards they must have after a reload: the longest and a trimmed one among them."""
    texts = [(pair.prompt, response) for pair in pairs for response in (pair.response_a, pair.response_b)]
    by_length = sorted(texts, key=lambda text: len(text[1]) + sum(len(m.content) for m in text[0]))
    longest = by_length[-1]
    # Long enough to be trimmed whatever the backbone: every word is at least one token.
    overlong = ((*longest[0][:-1], Message(longest[0][-1].role, "word " * loaded.rules.max_tokens)), longest[1])
    # The rest are the shortest: they show as much, and both processes compute them while somebody waits.
    chosen = list(dict.fromkeys([longest, overlong, *by_length]))[:LEAST_CANARIES]
    while len(chosen) < LEAST_CANARIES:
        chosen.append((chosen[0][0], f"canary {len(chosen)}"))
    rows = [encode(loaded.tokenizer, loaded.rules, prompt, (response,))[0] for prompt, response in chosen]
    values = [rewards_of(loaded, [row])[0] for row in rows]  # one by one, as no padding is cheapest here
    return [
        {
            "prompt": [{"role": m.role.value, "content": m.content} for m in prompt],
            "response": response,
            "text": row.text,
            "input_ids": list(row.input_ids),
            "reward": value,
        }
        for (prompt, response), row, value in zip(chosen, rows, values, strict=True)
    ]


def _write_facts(
    loaded: Loaded,
    config: TrainConfig,
    folder: Path,
    temperature: float | None,
    canaries: Sequence[dict[str, object]],
) -> None:
    ids = canaries[0]["input_ids"]
    assert isinstance(ids, list)  # made above
    facts = {
        "temperature": temperature,
        "tie_parameter": loaded.tie_parameter,
        "rules": asdict(loaded.rules),
        "pooled_token_id": ids[-1] if loaded.rules.pooling == "last" else None,
        "pad_token_id": loaded.tokenizer.pad_token_id,
        "backbone": asdict(loaded.backbone),
        "method": Method(config.method).value,
        "config": asdict(config),
    }
    _write_json(folder / FACTS, facts)
