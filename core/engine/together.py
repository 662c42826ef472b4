"""One training run in several processes: the worker launches them, and they train what it hands them.

Files go down, Steps come up: `train` is a generator as `train.train` is, and its processes wait after every step for
the worker's word, so they stop at the same one. They never see the store. torchrun starts one of them a device as
`python -m core.engine.together JOB`; each has a socket to the worker and ends itself when the worker is gone.
"""

import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import Client, Connection, wait
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file

from core.config import TrainConfig, config_from
from core.engine import prepare, shard
from core.engine.attention import Sharing, pretrained
from core.engine.device import choose_device
from core.engine.model import Loaded, load_backbone
from core.engine.prepare import Prepared
from core.engine.ranks import PeerLost, Ranks
from core.engine.train import check_sharing, tie_parameter, trainable
from core.engine.train import train as train_here
from core.errors import RunFailed, TiebreakError
from core.records import Step

_MORE, _STOP = b"more", b"stop"
_END_SECONDS = 30.0
_MOST_SAID = 300  # characters of an error that nobody foresaw
_JOB, _PAIRS, _WEIGHTS, _SOCKET = "job.json", "pairs.safetensors", "weights.safetensors", "worker"
_REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """What every process is told.

    Attributes:
        devices: one a process.
        refused: why prompts are not shared, as the worker found; None if they are.
        folder: of the files that go down and up.
        meeting: folder of the sockets; a path as short as a socket's must be.
    """

    config: dict[str, Any]
    devices: list[str]
    refused: str | None
    state: str
    folder: str
    meeting: str

    def title(self, rank: int) -> str:
        return f"process {rank + 1} of {len(self.devices)} ({self.devices[rank]})"


def train(
    loaded: Loaded, config: TrainConfig, prepared: Prepared, *, devices: Sequence[str], sharing: Sharing, state: Path
) -> Iterator[Step]:
    """Yield optimizer steps of one process a device. However it ends, the best weights are in the model.

    Args:
        devices: while they compute, `loaded` waits on the CPU.
        sharing: what `attention.self_check` said on the first device; each process must find the same.
        state: as in `train.train`.
    """
    loaded.model.tie_parameter = tie_parameter(config, prepared.train, loaded.device)
    loaded.model.to("cpu")
    if loaded.device.type == "cuda":
        torch.cuda.empty_cache()
    folder = state.with_name("together")
    shutil.rmtree(folder, ignore_errors=True)  # of a worker that was killed
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="tiebreak-") as meeting:
        job = _Job(
            config=json.loads(json.dumps(asdict(config))),
            devices=list(devices),
            refused=sharing.refused,
            state=str(state.resolve()),
            folder=str(folder.resolve()),
            meeting=meeting,
        )
        prepare.write(prepared, folder / _PAIRS)
        with _launched(job) as processes:
            try:
                while (step := processes.next_step()) is not None:
                    yield step
                    processes.say(_MORE)
            except GeneratorExit:
                processes.say(_STOP)
                processes.next_step()
                raise
            finally:
                if processes.are_done:
                    _put_weights(loaded, folder / _WEIGHTS)
    shutil.rmtree(folder)


def _put_weights(loaded: Loaded, file: Path) -> None:
    with torch.no_grad():
        weights = load_file(file)
        for name, parameter in trainable(loaded).items():
            parameter.copy_(weights[name])
    loaded.model.to(loaded.device)
    loaded.model.eval()


class _Processes:
    """All processes of a job, as the worker sees them."""

    def __init__(self, job: _Job, launcher: "subprocess.Popen[bytes]", connections: Sequence[Connection]) -> None:
        self._job, self._launcher, self._connections = job, launcher, connections
        self._open = list(connections)
        self._done: set[int] = set()
        self._lost: set[int] = set()

    @property
    def are_done(self) -> bool:
        return len(self._done) == len(self._connections)

    def say(self, word: bytes) -> None:
        for connection in self._connections:
            # One that is gone is noticed, with its last words, when the next step is awaited.
            with suppress(OSError):
                connection.send_bytes(word)

    def next_step(self) -> Step | None:
        """The next one that the first process tells; None when all are done.

        Raises RunFailed in the words of the process that failed first.
        """
        while not self.are_done:
            ended = []
            for connection in wait(self._open):
                assert isinstance(connection, Connection)  # nothing else is waited for
                rank = self._connections.index(connection)
                try:
                    message = json.loads(connection.recv_bytes())
                except (EOFError, OSError):
                    ended.append(rank)
                    continue
                if "step" in message:
                    return Step(**message["step"])
                self._hear(rank, message)
            # Words count before silence: who has told why it ends ends in the same moment.
            for rank in ended:
                self._end(rank)
        with suppress(subprocess.TimeoutExpired):
            self._launcher.wait(_END_SECONDS)
        return None

    def _hear(self, rank: int, message: dict[str, Any]) -> None:
        if "mistake" in message:
            raise RunFailed(message["mistake"])
        if "bug" in message:
            raise RunFailed(f"{self._job.title(rank)} failed, {message['bug']}; the traceback is in the log")
        (self._done if "done" in message else self._lost).add(rank)

    def _end(self, rank: int) -> None:
        self._open.remove(self._connections[rank])
        if rank not in self._done | self._lost:
            raise RunFailed(
                f"{self._job.title(rank)} ended without a word: it was killed, perhaps for want of memory; "
                "the log may say more"
            )
        if not self._open and not self.are_done:
            raise RunFailed(f"the {len(self._connections)} processes lost one another; the log may say more")


@contextmanager
def _launched(job: _Job) -> Iterator[_Processes]:
    """The processes of a job, each connected; whatever happens, none is left at the end."""
    file = Path(job.folder) / _JOB
    file.write_text(json.dumps(asdict(job)), encoding="utf-8")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{job.meeting}/{_SOCKET}")
        server.listen()
        server.settimeout(0.2)
        launcher = subprocess.Popen(_command(job, file), env=_environment(job), stdin=subprocess.DEVNULL)
        connections: dict[int, Connection] = {}
        try:
            while len(connections) < len(job.devices):
                rank, connection = _accept(server, launcher, job)
                connections[rank] = connection
            yield _Processes(job, launcher, [connections[rank] for rank in sorted(connections)])
        finally:
            for connection in connections.values():
                connection.close()  # who still goes ends itself by this
            try:
                launcher.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                launcher.kill()
                launcher.wait()


def _command(job: _Job, file: Path) -> list[str]:
    """Torchrun on this machine alone. Its processes meet in a file: a meeting by TCP would listen to other machines."""
    return [
        *(sys.executable, "-m", "torch.distributed.run", "--nnodes=1", f"--nproc-per-node={len(job.devices)}"),
        *("--local-addr=127.0.0.1", "--rdzv-id=run", "--rdzv-backend=c10d", "--rdzv-conf=store_type=file"),
        *(f"--rdzv-endpoint={job.meeting}/torchrun", "-m", "core.engine.together", str(file)),
    ]


def _environment(job: _Job) -> dict[str, str]:
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    inherited = os.environ.get("PYTHONPATH")
    return os.environ | {
        "PYTHONPATH": str(_REPOSITORY) if not inherited else f"{_REPOSITORY}{os.pathsep}{inherited}",
        "OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // len(job.devices))),
        "GLOO_SOCKET_IFNAME": loopback,
        "NCCL_SOCKET_IFNAME": loopback,
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    }


def _accept(server: socket.socket, launcher: "subprocess.Popen[bytes]", job: _Job) -> tuple[int, Connection]:
    """The next process that comes, and its rank."""
    while True:
        try:
            accepted, _ = server.accept()
        except TimeoutError:
            if launcher.poll() is None:
                continue
            raise RunFailed(
                f"the {len(job.devices)} processes of this run ended before they began; the log says why"
            ) from None
        accepted.setblocking(True)  # noqa: FBT003 - socket's own signature
        connection = Connection(accepted.detach())
        return int(connection.recv_bytes()), connection


class _Worker:
    """The worker, as a process of a job sees it: it says a word after every step, or is gone."""

    def __init__(self, address: str, rank: int) -> None:
        self._connection = Client(address, family="AF_UNIX")
        self._connection.send_bytes(str(rank).encode())
        self._words: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def tell(self, **message: object) -> None:
        self._connection.send_bytes(json.dumps(message).encode())

    def wants_more(self) -> bool:
        return self._words.get() == _MORE

    def _listen(self) -> None:
        try:
            while True:
                self._words.put(self._connection.recv_bytes())
        except (EOFError, OSError):
            # At once: nobody would store another step, and the process may wait for others that are gone.
            os._exit(1)


def main(file: Path) -> int:
    """One process of a job, from its first to its last word."""
    # torchrun ends its other processes when one fails; the worker does, once it has heard which was the first.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    job = _Job(**json.loads(file.read_text(encoding="utf-8")))
    rank = int(os.environ["RANK"])
    worker = _Worker(f"{job.meeting}/{_SOCKET}", rank)
    try:
        _train_share(job, worker, rank)
    except PeerLost as lost:
        worker.tell(lost=str(lost))
        return 1
    except TiebreakError as mistake:
        worker.tell(mistake=str(mistake))
        return 1
    except Exception as bug:  # the end of a process: the worker hears it first, then it is raised
        words = " ".join(f"{type(bug).__name__}: {bug}".split())
        worker.tell(bug=words if len(words) <= _MOST_SAID else words[:_MOST_SAID] + "…")
        raise
    worker.tell(done=True)
    return 0


def _train_share(job: _Job, worker: _Worker, rank: int) -> None:
    config = config_from(job.config)
    ranks = _meet(job, config, rank)
    loaded = load_backbone(config, ranks.device)
    if ranks.is_sharded:
        shard.split(pretrained(loaded), ranks.device, processes=ranks.size)
    prepared = prepare.read(Path(job.folder) / _PAIRS)
    steps = train_here(
        loaded,
        config,
        prepared,
        sharing=_same_sharing(job, loaded, prepared, rank),
        state=Path(job.state),
        ranks=ranks,
    )
    for step in steps:
        if ranks.leads:
            worker.tell(step=asdict(step))
        if not worker.wants_more():
            break
    steps.close()  # type: ignore[attr-defined]  # a generator: closing restores the best weights
    _hand_up(loaded, Path(job.folder) / _WEIGHTS, ranks)
    dist.destroy_process_group()


def _meet(job: _Job, config: TrainConfig, rank: int) -> Ranks:
    size = int(os.environ["WORLD_SIZE"])
    if size != len(job.devices):
        raise RunFailed(f"{len(job.devices)} processes were to train together, and {size} were started")
    device = choose_device(job.devices[rank])
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=f"file://{job.meeting}/group", rank=rank, world_size=size)
    return Ranks(rank=rank, size=size, device=device, is_sharded=config.shard)


def _hand_up(loaded: Loaded, file: Path, ranks: Ranks) -> None:
    """Write what was trained; where it lies in pieces, every process brings its own."""
    weights = {}
    for name, parameter in trainable(loaded).items():
        whole = shard.put_together(parameter.detach())
        if ranks.leads:
            weights[name] = whole.cpu().contiguous()
    if ranks.leads:
        save_file(weights, file)


def _same_sharing(job: _Job, loaded: Loaded, prepared: Prepared, rank: int) -> Sharing:
    if job.refused is not None:
        return Sharing(refused=job.refused)
    sharing = check_sharing(loaded, prepared)
    if sharing.refused is not None:
        raise RunFailed(f"{job.title(rank)} cannot share prompts as the first device can: {sharing.refused}")
    return sharing


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
