"""An existing Dask cluster shares a study as processes here do; what is wrong with it is said in a line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress

import pytest

from medfeat.errors import MissingExtraError, ProcessesLostError, UsageError
from medfeat.workflows.study import study, verify_study
from medfeat.workflows.studying import cluster

pytest.importorskip("distributed")

TEXT = """
data = "synthetic-binary"
backbone = ["stats", "pixels"]
head = ["prototypes", "knn"]
resamples = 20
"""
CELLS = 6


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder that one process writes."""
    desk = tmp_path_factory.mktemp("alone")
    (desk / "shared.toml").write_text(TEXT)
    return study(desk / "shared.toml", out=desk / "out", cache_dir=desk / "cache").out


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shared.toml").write_text(TEXT)
    return tmp_path


@contextmanager
def dask_cluster(folder, *, workers=2, threads=1, path=None, nanny=True):
    """A scheduler and its workers, each a process of its own, started as people start them."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path if path is None else path)}
    file = folder / "scheduler.json"
    begun = [[sys.executable, "-m", "distributed.cli.dask_scheduler", "--scheduler-file", str(file), "--port", "0",
              "--no-dashboard", "--host", "127.0.0.1"]]  # fmt: skip
    begun += [[sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(file), "--nthreads",
               str(threads), "--no-dashboard", "--local-directory", str(folder / f"w{number}"), "--name", f"w{number}",
               *([] if nanny else ["--no-nanny"])] for number in range(workers)]  # fmt: skip
    with (folder / "cluster.txt").open("w") as log:
        running = [
            subprocess.Popen(one, env=environment, stdout=log, stderr=log, cwd=folder, start_new_session=True)
            for one in begun
        ]
    try:
        yield wait_for(file, workers)
    finally:
        for process in running:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(file, workers):
    """Return the address of a scheduler, once it has so many workers."""
    from distributed import Client

    until = time.monotonic() + 120
    while not file.exists() and time.monotonic() < until:
        time.sleep(0.1)
    address = json.loads(file.read_text())["address"]
    if workers:
        with Client(address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=120)
    return address


def equal(alone, cache):
    report = verify_study(alone, cache_dir=cache)
    assert [one for one in report.cells if one.verdict != "equal"] == []
    return len(report.cells) == CELLS


def test_a_cluster_that_loses_a_worker_gives_what_one_process_gives(desk, alone):
    """Its nanny starts another; the cell of the lost one is taken over by whoever comes first."""
    lost = []

    def kill_the_first_at_work():
        until = time.monotonic() + 200
        while not lost and time.monotonic() < until:
            for path in (desk / "cache/.study").glob("[0-9a-f]" * 16 + ".lock"):
                with suppress(OSError, ValueError):
                    os.kill(holder := json.loads(path.read_text())["pid"], signal.SIGKILL)
                    lost.append(holder)
                    return
            time.sleep(0.01)

    with dask_cluster(desk) as address:
        watching = threading.Thread(target=kill_the_first_at_work)
        watching.start()
        report = study("shared.toml", scheduler=address, cache_dir="cache")
        watching.join()
        assert len(lost) == 1 and lost[0] != os.getpid()
        assert (report.failed, report.left) == ((), 0) and equal(alone, "cache")
        assert list((desk / "cache/.study").glob("*.lock")) == []
        # by its scheduler file, and nothing left to do
        assert study("shared.toml", scheduler=desk / "scheduler.json", cache_dir="cache").made == 0


@pytest.mark.slow
def test_data_that_a_worker_lacks_fails_in_a_line_that_names_it(desk):
    (desk / "shared.toml").write_text('data = "breastmnist"\nbackbone = "stats"\n')
    with dask_cluster(desk, workers=1, threads=2) as address:
        report = study("shared.toml", scheduler=address, cache_dir="cache", data_root=desk / "nowhere", offline=True)
    assert report.exit_code() == 1
    failed = report.failed[0]
    assert "breastmnist" in failed.error and "(on worker tcp://" in failed.error and "\n" not in failed.error


def test_what_is_wrong_with_a_cluster_is_said_in_a_line(desk, monkeypatch):
    monkeypatch.setattr(cluster, "_ANSWER_S", 1.0)
    for address in ("tcp://127.0.0.1:9", "nonsense://x", "no-host.invalid:1"):
        refused(desk, address, "no Dask scheduler answers at")
    with dask_cluster(desk, workers=0) as address:
        refused(desk, address, "has no workers")


@pytest.mark.slow
def test_a_worker_without_medfeat_is_named(desk):
    bare = [one for one in sys.path if "site-packages" in one or "lib/python" in one]
    (desk / "bare").mkdir()
    hidden = desk / "bare/medfeat.py"
    hidden.write_text("raise ImportError('no medfeat here')\n")
    with dask_cluster(desk, workers=1, path=[str(hidden.parent), *bare], nanny=False) as address:
        refused(desk, address, "cannot run medfeat")


def refused(desk, address, words):
    with pytest.raises(UsageError, match=words) as error:
        study("shared.toml", scheduler=address, cache_dir="cache")
    assert "\n" not in str(error.value)
    assert list((desk / "cache/.study").glob("*.lock")) == []


def test_a_worker_that_sees_another_cache_is_refused(desk):
    here = cluster.Here(cache_dir=desk)
    cluster._refuse_strangers({"tcp://a": (cluster.version("medfeat"), True)}, here)
    for answer, words in (
        ((cluster.version("medfeat"), False), "does not see the cache"),
        (("0.0.0", True), "has medfeat 0.0.0, here it is"),
    ):
        with pytest.raises(UsageError, match=words):
            cluster._refuse_strangers({"tcp://a": answer}, here)


@pytest.mark.slow
def test_a_cluster_whose_workers_all_go_away_is_waited_for_and_then_given_up(desk, monkeypatch):
    monkeypatch.setattr(cluster, "_WITHOUT_WORKERS_S", 0.5)
    with dask_cluster(desk, workers=1, nanny=False) as address:

        def end_it():
            until = time.monotonic() + 100
            while time.monotonic() < until and not (pids := holders(desk)):
                time.sleep(0.01)
            for pid in pids:
                os.kill(pid, signal.SIGKILL)

        ending = threading.Thread(target=end_it)
        ending.start()
        with pytest.raises(ProcessesLostError, match="all workers of the cluster are gone"):
            study("shared.toml", scheduler=address, cache_dir="cache")
        ending.join()
    assert study("shared.toml", cache_dir="cache").left == 0  # and the same study goes on here


def holders(desk):
    found = []
    for path in (desk / "cache/.study").glob("[0-9a-f]" * 16 + ".lock"):
        with suppress(OSError, ValueError):
            found.append(json.loads(path.read_text())["pid"])
    return found


def test_without_the_extra_and_with_jobs_beside_it_a_study_is_refused(desk, monkeypatch):
    with pytest.raises(UsageError, match="--jobs counts processes here"):
        study("shared.toml", scheduler="tcp://127.0.0.1:9", jobs=2, cache_dir="cache")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'medfeat\[dask\]'"):
        study("shared.toml", scheduler="tcp://127.0.0.1:9", cache_dir="cache")
