"""The app as a process and a real Chromium to drive it."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--no-first-run"),
]


@dataclass(frozen=True)
class App:
    url: str
    store: Path


@pytest.fixture(scope="module")
def app(tmp_path_factory) -> Iterator[App]:
    """The app on an empty store, on a free port of this machine."""
    folder = tmp_path_factory.mktemp("browser")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    store = folder / "store.db"
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", "--server.port", str(port)]
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=HOUSE, env=os.environ | {"TIEBREAK_STORE": str(store)}, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            wait_for_health(f"http://localhost:{port}", process, folder / "log.txt")
            yield App(f"http://localhost:{port}", store)
        finally:
            process.terminate()
            process.wait(timeout=20)


def wait_for_health(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"the app did not start: {log.read_text()}")


@pytest.fixture(scope="module")
def chromium() -> str:
    """Where Chromium is. Without one these tests skip, unless TIEBREAK_REQUIRE_BROWSER says that they must not."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None and os.environ.get("TIEBREAK_REQUIRE_BROWSER"):
        pytest.fail("Chromium is required here and not installed")
    if found is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    return found
