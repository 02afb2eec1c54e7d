"""Importing medfeat, and asking for help, costs nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "timm", "transformers", "sklearn", "scipy", "pandas", "matplotlib", "xgboost", "bokeh")


def loaded_after(code: str) -> set[str]:
    script = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


@pytest.mark.parametrize(
    "code",
    [
        "import medfeat",
        "import medfeat_cache",
        "import medfeat_cli.main",
        "from medfeat_cli.main import run\nimport contextlib, io\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n    assert run(['--help']) == 0",
        "from medfeat_cli.main import run\nimport contextlib, io\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n    assert run(['extract', '--help']) == 0",
        "from medfeat_cli.main import run\nimport contextlib, io\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n    assert run(['cache', 'ls', '--cache-dir', '-']) == 0",
        "import medfeat.workflows.compare, medfeat.workflows.runs",
        "from medfeat.backbones import backbone_names, describe\ndescribe(backbone_names()[0])",
        "from medfeat.datasets import dataset_names, describe\ndescribe(dataset_names()[0])",
    ],
)
def test_it_loads_nothing_heavy(code):
    assert loaded_after(code).isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "module",
    [
        "tasks",
        "heads",
        "evaluation",
        "report",
        "workflows.probe",
        "workflows.compare",
        "workflows.cache",
        "workflows.search",
        "workflows.predict",
        "workflows.audit",
        "workflows.listing",
        "workflows.report",
    ],
)
def test_the_reading_side_does_not_import_torch(module):
    assert loaded_after(f"import medfeat.{module}").isdisjoint({"torch", "torchvision", "timm", "transformers"})


def test_a_head_is_trained_saved_and_loaded_on_the_cpu_without_torch(tmp_path):
    code = f"""
from pathlib import Path
import numpy as np
from medfeat.heads.linear import LinearProbe
from medfeat.heads.saving import load_model, save_model
X, y = np.random.default_rng(0).normal(size=(30, 3)), np.arange(30)[:, None] % 2
save_model(LinearProbe(1.0, task_type="binary-class").fit(X, y), Path({str(tmp_path)!r}))
load_model(Path({str(tmp_path)!r}))
"""
    assert "torch" not in loaded_after(code)


def test_nothing_is_created_at_import(tmp_path):
    code = "import medfeat, medfeat_cli.main, medfeat.datasets, medfeat.backbones, medfeat.heads, medfeat.evaluation"
    environment = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": ""}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert list(tmp_path.iterdir()) == []
