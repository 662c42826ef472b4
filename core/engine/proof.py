"""The proof of a checkpoint: a fresh process reloads it with a public library alone. Imports no torch itself."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from core.errors import RunFailed


class Prover:
    """A process that imports the libraries as soon as it is made, which takes seconds, and then waits for a folder.

    So a run makes it before it computes. If the run dies, the pipe closes and the process ends by itself.

    Args:
        mean_pooled: whether a sentence-transformers folder is expected; only decides what is imported ahead of time.
    """

    def __init__(self, *, mean_pooled: bool) -> None:
        script = Path(__file__).with_name("prove.py")
        library = "sentence_transformers" if mean_pooled else "transformers"
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(script), library],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
        )

    def prove(self, folder: Path) -> None:
        """If a reward differs from its canary: RunFailed, and the folder is set aside."""
        said, complained = self._process.communicate(str(folder))
        if self._process.returncode == 0:
            return
        set_aside = folder.with_name(folder.name + ".unproven")
        shutil.rmtree(set_aside, ignore_errors=True)
        folder.replace(set_aside)
        words = (said.strip() or complained.strip() or "no word").splitlines()[-1]
        raise RunFailed(
            f"the saved checkpoint does not reproduce its rewards in a fresh process ({words}): {set_aside}"
        )
