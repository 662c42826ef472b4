"""The benchmarks; each prints its own table, and RESULTS.md keeps what they printed.

    make bench                      those that need no data from outside
    make bench DATA=FOLDER          all of them; FOLDER has the files of preference data that their docstrings name
    make bench NAMES="trl_speed" DATA=FOLDER KEEP=FOLDER
    .venv/bin/python -m tests.benchmarks --list

What takes hours keeps what is done in the folder of --keep and goes on from there when it is run again.
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A script beside this file.

    Attributes:
        arguments: after its name; {data} and {keep} stand for the folders.
        minutes: on 2 cores, where they are idle.
    """

    tells: str
    minutes: int
    arguments: tuple[str, ...] = ()

    @property
    def needs_data(self) -> bool:
        return "{data}" in self.arguments


BENCHMARKS = {
    "demo_pairs": Benchmark(tells="the demo pairs: how hard, what gives them away, what triage finds", minutes=1),
    "store_million": Benchmark(
        tells="what pages ask of a store of a million pairs",
        minutes=10,
        arguments=("1000000", "--keep", "{keep}/million"),
    ),
    "label_server": Benchmark(tells="votes a second from a server with 64 calls in flight", minutes=1),
    "pages_million": Benchmark(tells="every page on that store", minutes=5, arguments=("{keep}/million",)),
    "real_data": Benchmark(
        tells="import, probe, lora, triage on real preference data", minutes=60, arguments=("{data}",)
    ),
    "trl_speed": Benchmark(tells="speed beside TRL", minutes=30, arguments=("{data}", "--kept", "{keep}/trl-speed")),
    "trl_quality": Benchmark(tells="accuracy beside TRL", minutes=120, arguments=("{data}", "{keep}/trl-quality")),
}


def run(name: str, *, data: Path | None, keep: Path) -> int:
    """The script's exit status."""
    benchmark = BENCHMARKS[name]
    arguments = [argument.format(data=data, keep=keep) for argument in benchmark.arguments]
    sys.stdout.write(f"\n# {name}: {benchmark.tells} (about {benchmark.minutes} min)\n")
    sys.stdout.flush()
    return subprocess.run([sys.executable, str(HERE / f"{name}.py"), *arguments], check=False).returncode


def listed() -> str:
    return "".join(
        f"{name:15}{one.minutes:4} min  {one.tells}{', needs --data' if one.needs_data else ''}\n"
        for name, one in BENCHMARKS.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="of --list; left out: all that can run")
    parser.add_argument("--data", type=Path, help="folder of preference data")
    parser.add_argument("--keep", type=Path, help="folder for what is kept between calls; left out: a temporary one")
    parser.add_argument("--list", action="store_true", help="say what there is and run nothing")
    arguments = parser.parse_args()
    if arguments.list:
        sys.stdout.write(listed())
        return
    unknown = [name for name in arguments.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"unknown benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    chosen = arguments.names or list(BENCHMARKS)
    without = [name for name in chosen if BENCHMARKS[name].needs_data and arguments.data is None]
    if arguments.names and without:
        parser.error(f"{without[0]} needs --data FOLDER")
    with tempfile.TemporaryDirectory() as folder:
        keep = arguments.keep or Path(folder)
        failed = [name for name in chosen if name not in without and run(name, data=arguments.data, keep=keep)]
    if without:
        sys.stdout.write(f"\nNot run without --data FOLDER: {', '.join(without)}\n")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
