"""Whether medfeat decides well: on a busy machine, the second time, and on processors that are held back.

    busy      `extract` of 780 images beside two busy loops, and the same with --no-compile
    second    seconds before the first image, of a network that is new to the machine and of one that is not
    steady    the loop with what medfeat chose, beside the raw network eager and compiled (channels last), in float32
    commands  whole commands beside the usual pattern's script

Each on the processor as it is, or held back to AVX2 (MEDFEAT_BENCH_ISA=avx2): oneDNN, torch's own kernels, the vectors
of the compiler and its -march, for medfeat and the yardsticks alike. MEDFEAT_BENCH_PARTS names some of the parts,
MEDFEAT_BENCH_NETWORKS some of the networks, MEDFEAT_BENCH_COUNTS the numbers of images of whole commands,
MEDFEAT_BENCH_WORKERS the workers of the usual script. What was measured is added to results/decisions.json; what was
not says so. Rates and times are seconds of work (processor time) where the row says `work`, so that what else ran on
the machine counts little; its load stands beside them.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import bench_extraction
import machine

ISA = os.environ.get("MEDFEAT_BENCH_ISA", "as it is")
HELD = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "TORCHINDUCTOR_CPP_MARCH": "x86-64-v3",
}
PARTS = os.environ.get("MEDFEAT_BENCH_PARTS", "busy,second,steady,commands").split(",")
NETWORKS = ("squeezenet1_1", "resnet18", "resnet50", "timm:vit_small_patch16_224", "timm:efficientnet_lite0")
CHOSEN = os.environ.get("MEDFEAT_BENCH_NETWORKS", ",".join(NETWORKS)).split(",")
COUNTS = [int(count) for count in os.environ.get("MEDFEAT_BENCH_COUNTS", "780,5000").split(",")]
# Processes that prepare images in the usual script; the faster one counts.
WORKERS = [int(count) for count in os.environ.get("MEDFEAT_BENCH_WORKERS", "0,2").split(",")]
ROUNDS = int(os.environ.get("MEDFEAT_BENCH_ROUNDS", "3"))
RESULT = machine.RESULTS / "decisions.json"
BATCHES = (8, 32)
NOT = "not measured"


def surroundings(home):
    """The environment of a command whose compiler and notes know nothing yet."""
    return os.environ | {"XDG_CACHE_HOME": str(home), "MEDFEAT_CACHE": str(home / "cache")} | held()


def held():
    return HELD if ISA == "avx2" else {}


def seconds(command, environment):
    """Wall and processor seconds of a whole command."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    work = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": round(time.perf_counter() - started, 1), "work": round(work, 1)}


@contextmanager
def busy_loops(count=2):
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def npz(folder, count, seed=0):
    """Images as `bench_extraction.pictures` has them, or other ones of the same form, as an npz in MedMNIST's form."""
    images = bench_extraction.pictures(count)
    if seed:
        images = np.random.default_rng(seed).permutation(images) ^ np.uint8(seed)
    ends = {
        "train": slice(0, count // 2),
        "val": slice(count // 2, count * 3 // 4),
        "test": slice(count * 3 // 4, count),
    }
    arrays = {f"{split}_images": images[where] for split, where in ends.items()}
    arrays |= {f"{split}_labels": np.arange(len(images[where]))[:, None] % 2 for split, where in ends.items()}
    path = folder / f"pictures{count}-{seed}.npz"
    np.savez(path, **arrays)
    return path


def extract_command(data, name, *more):
    weights = bench_extraction.real_weights(name) or "random"
    command = [sys.executable, "-m", "medfeat", "extract", "--data", str(data), "--backbone", name]
    return [*command, "--weights", weights, "--device", "cpu", *more]


def busy():
    found = {"as chosen": [], "--no-compile": []}
    with tempfile.TemporaryDirectory() as folder, busy_loops():
        data = npz(Path(folder), 780)
        for round_ in range(ROUNDS):
            for form, several in found.items():
                home = Path(folder) / f"{form}{round_}"
                more = [form] if form.startswith("--") else []
                several.append(seconds(extract_command(data, "squeezenet1_1", *more), surroundings(home)))
                print(form, several[-1], flush=True)
    middle = {form: statistics.median(one["seconds"] for one in runs) for form, runs in found.items()}
    return {
        "network": "squeezenet1_1",
        "images": 780,
        "runs": found,
        "ratio": middle["as chosen"] / middle["--no-compile"],
    }


class FirstImage(BaseException):
    """The first batch is through."""


class UntilFirstImage:
    """Progress that ends the run at its first image."""

    def start(self, total, label, unit="images"):
        self.images = unit == "images"

    def advance(self, count):
        if self.images:
            raise FirstImage

    def say(self, message):
        print(message, file=sys.stderr)

    def finish(self):
        pass


def until_first_image(data, name, precision):
    """Print seconds from the start of the process, and from that of the extraction, to the first image."""
    import torch

    from medfeat.extraction.measure.clock import stopwatch
    from medfeat.workflows.extract import extract

    started, work = time.perf_counter(), stopwatch(torch.device("cpu"))
    try:
        weights = bench_extraction.real_weights(name) or "random"
        extract(data, name, weights=weights, precision=precision, device="cpu", progress=UntilFirstImage())
    except FirstImage:
        print(json.dumps({"seconds": time.perf_counter() - started, "work": work(), "process": time.process_time()}))


def second(name, count, precision):
    """Two processes after each other on a machine that knows nothing, each until its first image of other data."""
    with tempfile.TemporaryDirectory() as folder:
        home, found = Path(folder) / "home", {}
        for turn, seed in (("first", 1), ("second", 2)):
            call = [str(npz(Path(folder), count, seed)), name, precision]
            command = [sys.executable, __file__, "until_first_image", *call]
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=surroundings(home))
            found[turn] = json.loads(done.stdout.splitlines()[-1]) | {"said": done.stderr.splitlines()[-4:]}
    ratios = {key: found["second"][key] / found["first"][key] for key in ("seconds", "work", "process")}
    return {"network": name, "images": count, "precision": precision, **found, "ratio": ratios}


def work_rate(run, images):
    """Images a second of work."""
    import torch

    from medfeat.extraction.measure.clock import stopwatch

    work = stopwatch(torch.device("cpu"))
    run()
    return images / work()


def raw_rate(name, batch, images, *, compiled):
    """Return what runs the bare network over prepared input."""
    import torch

    forward = bench_extraction.Forward(
        bench_extraction.load_backbone(name, weights=bench_extraction.real_weights(name) or "random"),
        fit="whole", device=torch.device("cpu"), precision="fp32", batch_size=batch,
    )  # fmt: skip
    network = torch.compile(forward.module, dynamic=False, options={"freezing": True}) if compiled else forward.module
    pixels = forward._inputs(bench_extraction.pictures(batch))
    assert pixels.is_contiguous(memory_format=torch.channels_last)

    def run():
        with torch.inference_mode():
            for _ in range(images // batch):
                network(pixels)

    run()
    return run


def steady(name, count):
    """Print the rates of one network, in turns: raw eager and compiled, and medfeat as it chose for a long run."""
    import torch

    from medfeat.extraction.measure.choose import Chooser
    from medfeat.types import SilentProgress

    images, said = bench_extraction.pictures(count), SilentProgress()

    def make(precision, batch, *, compiled, copied):
        weights = bench_extraction.real_weights(name) or "random"
        backbone = bench_extraction.load_backbone(name, weights=weights)
        return bench_extraction.Forward(
            backbone, fit="whole", device=torch.device("cpu"), precision=precision, batch_size=batch, compiled=compiled
        )

    chosen = Chooser(
        make=make, read=lambda: images[:256], total=200_000, batch_size=None, problem=None,
        device=torch.device("cpu"), progress=said,
    ).choose("fp32")  # fmt: skip
    batches = sorted({*BATCHES, chosen.settings.batch_size})
    runs = {}
    for compiled in (False, True):
        for batch in batches if not compiled else [chosen.settings.batch_size]:
            kind = "compiled" if compiled else "eager"
            runs[f"{kind}, batch {batch}"] = raw_rate(name, batch, count, compiled=compiled)
    runs["medfeat"] = lambda: loop(chosen.embedder, images)
    rates = {kind: [] for kind in runs}
    for _ in range(ROUNDS):
        for kind, run in runs.items():
            rates[kind].append(work_rate(run, count // 32 * 32 if kind != "medfeat" else count))
    best = {kind: max(several) for kind, several in rates.items()}
    raw = max(rate for kind, rate in best.items() if kind != "medfeat")
    settings = {"batch": chosen.settings.batch_size, "compiled": chosen.settings.compiled}
    print(json.dumps({"chosen": settings, "said": said.said, "rates": best, "of_best_raw": best["medfeat"] / raw}))


def loop(embedder, images):
    """What the extraction loop does with each image, all but the disk."""
    size = embedder.batch_size
    reads = (
        ([bench_extraction.image_hash(image) for image in batch], batch)
        for batch in (images[start : start + size] for start in range(0, len(images), size))
    )
    with bench_extraction.ReadAhead(reads) as ahead:
        rows = [done.rows[0] for done in bench_extraction.stream(embedder, ahead)]
    assert sum(map(len, rows)) == len(images)


def steady_apart(name, count):
    """As `steady`, in a process of its own."""
    with tempfile.TemporaryDirectory() as home:
        # One thread, whose processor time is the time it takes; one place for what the yardstick and medfeat compile.
        alike = {"OMP_NUM_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": str(Path(home) / "compiled")}
        environment = surroundings(Path(home)) | alike
        command = [sys.executable, __file__, "steady", name, str(count)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return {"network": name, "threads": 1, **json.loads(done.stdout.splitlines()[-1])}


def commands(name, count):
    """Whole commands in turns: medfeat on a machine that knows nothing, and the usual script with 0 and 2 workers."""
    script = [sys.executable, str(Path(__file__).parent / "usual_pattern.py"), name]
    weights = bench_extraction.real_weights(name)
    with tempfile.TemporaryDirectory() as folder:
        data, home = npz(Path(folder), count), Path(folder) / "home"
        found = {"medfeat": seconds(extract_command(data, name), surroundings(home))}
        for workers in WORKERS:
            call = [*script, str(data), str(workers), *([weights] if weights else [])]
            found[f"usual, {workers} workers"] = seconds(call, os.environ | held())
    usual = min(one["seconds"] for kind, one in found.items() if kind != "medfeat")
    return {"network": name, "images": count, **found, "times_usual": usual / found["medfeat"]["seconds"]}


def keep(part, key, row):
    """Add a row to what was measured, in place of one of the same kind; other rows stay, each with its machine."""
    before = json.loads(RESULT.read_text()) if RESULT.exists() else {"rows": {}}
    rows = {
        name: {"processor": before["machine"]["processor"], **one} for name, one in before["rows"].items() if one != NOT
    }
    load = round(os.getloadavg()[0], 1)
    threads = os.environ.get("OMP_NUM_THREADS", "as torch chooses")
    processor = machine.describe()["processor"]
    rows[f"{ISA}: {part}, {key}"] = {"processor": processor, "load": load, "threads": threads, **row}
    rows |= {f"{isa}: {key}": NOT for isa in ("as it is", "avx2") for key in EXPECTED if f"{isa}: {key}" not in rows}
    machine.keep("decisions", {"rows": dict(sorted(rows.items()))})


EXPECTED = [f"steady, {name}" for name in NETWORKS]
EXPECTED += [f"commands, {name} x {count}" for name in NETWORKS for count in (780, 5000)]
SECOND = (("squeezenet1_1", 5000, "auto"), ("timm:efficientnet_lite0", 5000, "fp32"), ("resnet50", 780, "auto"))


def test_the_quick_form_runs(tmp_path):
    data = npz(tmp_path, 40, seed=3)
    home = tmp_path / "home"
    assert seconds(extract_command(data, "squeezenet1_1", "--no-compile"), surroundings(home))["seconds"] > 0
    from medfeat_cache import find_stores

    [store] = find_stores(home / "cache")
    assert store.info["environment"]["start_seconds"] > 0


@pytest.mark.skipif(not machine.MEASURING, reason="measures only with MEDFEAT_BENCH=1")
@pytest.mark.parametrize("part", PARTS)
def test_measure(part):
    if part == "busy":
        keep(part, "squeezenet1_1 x 780", busy())
    for name, count, precision in SECOND if part == "second" else ():
        if name in CHOSEN:
            keep(part, f"{name} x {count}, {precision}", second(name, count, precision))
    for name in CHOSEN if part == "steady" else ():
        keep(part, name, steady_apart(name, 32 if name in NETWORKS[2:4] else 96))
    for count in COUNTS if part == "commands" else ():
        for name in CHOSEN:
            keep(part, f"{name} x {count}", commands(name, count))


if __name__ == "__main__":
    if sys.argv[1] == "steady":
        steady(sys.argv[2], int(sys.argv[3]))
    else:
        until_first_image(*sys.argv[2:])
