"""The part of a model card that says how to load its folder; `prove.py` does it by the same calls."""

import json
from pathlib import Path

HEADING = "\n## Load\n"
_PLAIN = """
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
"""
_ADAPTER = """
    import torch
    from peft import AutoPeftModelForSequenceClassification
    from transformers import AutoTokenizer, BitsAndBytesConfig

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoPeftModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, problem_type="regression", dtype=torch.float32{quantised}
    ).eval()
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id

This is an adapter; its backbone is loaded from where `adapter_config.json` names it. The backbone knows nothing of the
one label, the regression and the padding token, so they must be said as above. `tiebreak export --merge` writes a
folder that needs neither.
"""
_MEAN_POOLED = """
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(folder)
    reward = model.encode([text])[0, 0]
"""
_CHECK = """
`canaries.jsonl` has texts, their ids and the rewards that this gives for them in float32.
"""


def how_to_load(folder: Path) -> str:
    """Markdown, for what lies in a checkpoint's folder."""
    if (folder / "modules.json").exists():
        return HEADING + _MEAN_POOLED + _CHECK
    if not (folder / "adapter_config.json").exists():
        return HEADING + _PLAIN + _CHECK
    how = json.loads((folder / "tiebreak.json").read_text(encoding="utf-8"))["quantisation"]
    quantised = "" if how is None else f", quantization_config=BitsAndBytesConfig(**{how})"
    return HEADING + _ADAPTER.format(quantised=quantised) + _CHECK
