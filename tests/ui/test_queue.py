from core.records import RunKind
from db import connect, runs
from ui.processes import free_to_start, open_store


def started(tmp_path, *devices, going=()):
    """Which of the runs on these devices, in the order of the queue, would start beside those that are going."""
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    with connect.write(store.engine) as conn:
        for device in going:
            runs.claim(conn, add(conn, device), pid=1, pid_started=1.0, host="here")
        names = {add(conn, device): device for device in devices}
        return [names[run_id] for run_id in free_to_start(runs.running(conn), runs.queued(conn))]


def add(conn, device):
    return runs.add(conn, kind=RunKind.TRAIN, config={}, device=device)


def test_a_run_on_two_devices_starts_when_both_are_free(tmp_path):
    assert started(tmp_path, "cuda:0,cuda:1") == ["cuda:0,cuda:1"]


def test_a_run_on_two_devices_waits_for_the_second(tmp_path):
    assert started(tmp_path, "cuda:0,cuda:1", going=["cuda:1"]) == []


def test_while_a_run_on_two_devices_goes_neither_is_taken(tmp_path):
    assert started(tmp_path, "cuda:0", "cuda:1", "cuda:2", going=["cuda:0,cuda:1"]) == ["cuda:2"]


def test_a_waiting_run_on_two_devices_is_not_overtaken_on_the_free_one(tmp_path):
    assert started(tmp_path, "cuda:0,cuda:1", "cuda:0", "cuda:2", going=["cuda:1"]) == ["cuda:2"]


def test_two_processes_on_the_cpu_take_it_once(tmp_path):
    assert started(tmp_path, "cpu,cpu", "cpu") == ["cpu,cpu"]
