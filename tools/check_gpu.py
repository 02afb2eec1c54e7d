"""Try every claim about GPUs on one, and measure: what `make gpu` runs, in at most nine minutes, set-up included.

The machine needs torch with CUDA, torchvision, timm, transformers, scikit-learn, h5py, typer and pytest. What else
medfeat imports comes from a folder of wheels where no package index is reached: `make gpu WHEELS=DIR`. The tests of
`tests/gpu` come first, then `benchmarks/bench_gpu.py`; what each found is in `benchmarks/results/gpu*.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
MOST_SECONDS = 530
TESTS_SECONDS = 240


def main() -> None:
    """Install, test, measure; end with 1 where a test failed or an item did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheels", type=Path, help="folder of wheels to install, without asking any index")
    parser.add_argument("--seconds", type=int, default=MOST_SECONDS, help="when to stop measuring")
    asked = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        environment = environment_with(asked.wheels, Path(temporary))
        if subprocess.run([sys.executable, "-c", IS_THERE], env=environment, check=False).returncode:
            sys.exit(1)
        tested = tests(environment, Path(temporary) / "tests.jsonl", min(TESTS_SECONDS, asked.seconds))
        left = asked.seconds - (time.monotonic() - started)
        bench = [sys.executable, "-u", str(ROOT / "benchmarks" / "bench_gpu.py")]
        try:
            measured = subprocess.run(bench, env=environment, cwd=ROOT, check=False, timeout=left).returncode
        except subprocess.TimeoutExpired:
            measured = 1
            print(f"stopped after {asked.seconds} s: what had been measured is kept")
    print(f"{time.monotonic() - started:.0f} s in all")
    sys.exit(max(tested, measured))


IS_THERE = """
import sys, torch
if not torch.cuda.is_available():
    sys.exit(f"no CUDA device: torch {torch.__version__} sees none; `make test` runs the dry form of all this")
print(torch.cuda.get_device_name(0), "torch", torch.__version__)
"""


def environment_with(wheels: Path | None, temporary: Path) -> dict[str, str]:
    """Return the environment of a program that finds this code, and what a folder of wheels brings."""
    site = temporary / "site"
    if wheels is not None:
        found = sorted(map(str, wheels.glob("*.whl")))
        if not found:
            raise SystemExit(
                f"no wheels in {wheels}: `pip download --dest {wheels} NAME` fills it, or leave WHEELS out"
            )
        install = ["install", "--quiet", "--no-index", "--no-deps", "--no-compile", "--target", str(site), *found]
        subprocess.run([sys.executable, "-m", "pip", *install], check=True)
    places = [str(ROOT), str(ROOT / "cache"), str(ROOT / "cli"), str(ROOT / "benchmarks"), str(site)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(places), "MEDFEAT_GPU": "1", "MEDFEAT_BENCH": "1"}


def tests(environment: dict[str, str], report: Path, seconds: int) -> int:
    """Run the tests on the GPU, each for at most a minute, and keep what they found as far as they came."""
    # Other versions of the libraries than the pinned ones may warn of other things.
    command = [sys.executable, "-m", "pytest", "tests/gpu", "-q", "-p", "no:cacheprovider", "-W", "default"]
    told = environment | {"MEDFEAT_GPU_REPORT": str(report)}
    try:
        command += ["--timeout=60", "--durations=12"]
        ended = subprocess.run(command, env=told, cwd=ROOT, check=False, timeout=seconds).returncode
    except subprocess.TimeoutExpired:
        print(f"the tests took more than {seconds} s and were stopped")
        ended = 1
    found = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()] if report.exists() else []
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "gpu_tests.json").write_text(json.dumps({"tests": found}, indent=1) + "\n")
    return ended


if __name__ == "__main__":
    main()
