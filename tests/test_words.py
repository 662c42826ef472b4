"""What the tracked text may not hold: paths of one machine, package indexes, keys, and vague file names."""

import re
import subprocess
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent
VAGUE = {"utils", "util", "helpers", "common", "misc", "manager", "handlers", "base"}
# Split in two, so that this file does not hold what it looks for.
FORBIDDEN = {
    "a path of one machine": r"(?<![\w.])/(?:home|root|Users|work)/\w",
    "a package index": r"(?:files\.pythonhosted|pypi|test\.pypi|download\.pytorch)\."
    + r"org|extra-index"
    + r"-url|find-"
    + r"links",
    "a key": r"\b(?:sk-[A-Za-z0-9]{20}|hf_[A-Za-z]{30}|ghp_[A-Za-z0-9]{30})",
    "a merge mark": r"^(?:<{7}|>{7}) ",
}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=HOUSE, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [HOUSE / name for name in listed.stdout.split("\0") if name and (HOUSE / name).is_file()]


def text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


@pytest.mark.parametrize("what", FORBIDDEN)
def test_tracked_text_holds_no(what):
    pattern = re.compile(FORBIDDEN[what], re.MULTILINE)

    found = [
        f"{file.relative_to(HOUSE)}: {hit.group()}" for file in tracked() for hit in pattern.finditer(text_of(file))
    ]

    assert not found


def test_a_path_of_one_machine_would_be_found():
    assert re.search(FORBIDDEN["a path of one machine"], "see /" + "home/ann/data")
    assert not re.search(FORBIDDEN["a path of one machine"], "look at https://example.com/home/page, ../work/x")


def test_every_file_is_named_after_what_it_holds():
    vague = [str(file.relative_to(HOUSE)) for file in tracked() if file.suffix == ".py" and file.stem in VAGUE]

    assert not vague


def test_every_pin_is_a_version():
    lines = (HOUSE / "constraints.txt").read_text(encoding="utf-8").splitlines()
    loose = [
        line for line in lines if line and not line.startswith("#") and not re.fullmatch(r"[\w.\-]+==[\w.]+", line)
    ]

    assert not loose
