"""The page "notebooks, logs and trackers" does what it says; MLflow itself where it is installed, else a stand-in."""

from __future__ import annotations

import importlib.util
import logging
import re
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "notebooks.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


class Tracker:
    """Keeps what it is told, by functions that take what MLflow's and W&B's take."""

    def __init__(self) -> None:
        self.runs: list[dict] = []
        self.summary = SimpleNamespace(update=lambda values: self.told("metrics", values))

    def told(self, what: str, values: dict) -> None:
        self.runs[-1].setdefault(what, {}).update(values)

    def set_experiment(self, experiment_name: str) -> None:
        self.experiment = experiment_name

    @contextmanager
    def start_run(self, *, run_name: str):
        self.runs.append({"name": run_name})
        yield self

    def log_params(self, params: dict) -> None:
        self.told("params", params)

    def log_metrics(self, metrics: dict) -> None:
        assert all(isinstance(value, float) for value in metrics.values())
        assert all(re.fullmatch(r"[\w\-. /]+", name) for name in metrics), "MLflow's rule for names"
        self.told("metrics", metrics)

    def log_artifacts(self, local_dir: str) -> None:
        self.told("files", {path.name: path for path in Path(local_dir).iterdir()})

    @contextmanager
    def init(self, *, project: str, name: str, config: dict):
        self.runs.append({"name": name, "params": config})
        yield self

    def save(self, glob_str: str, *, base_path: str) -> None:
        found = list(Path(glob_str).parent.glob(Path(glob_str).name))
        assert all(path.is_relative_to(base_path) for path in found)
        self.told("files", {path.name: path for path in found})


@pytest.fixture
def there(cache_root, monkeypatch):
    """What the page has before its trackers: two runs."""
    monkeypatch.setenv("MEDFEAT_CACHE", str(cache_root))
    monkeypatch.setattr(logging, "basicConfig", lambda **facts: None)  # of this test run, not of the page's reader
    scope: dict = {}
    for block in BLOCKS[:3]:
        exec(compile(block, str(PAGE), "exec"), scope)
    assert repr(scope["report"]).startswith("ProbeReport(2 runs, ")
    assert scope["everything"].index.tolist() == [run.key[:12] for run in scope["report"].runs]
    return scope


def check(tracker, runs):
    assert len(tracker.runs) == len(runs) == 2
    for told, run in zip(tracker.runs, runs, strict=True):
        assert told["params"].items() >= {"backbone": run.backbone, **run.choice["settings"]}.items()
        assert run.test.auc.value in told["metrics"].values() and {"run.json", "card.md"} <= set(told["files"])


@pytest.mark.parametrize(("module", "block"), [("mlflow", BLOCKS[3]), ("wandb", BLOCKS[4])])
def test_a_recipe_tells_a_tracker_of_settings_scores_and_files(there, monkeypatch, module, block):
    tracker = Tracker()
    monkeypatch.setitem(sys.modules, module, tracker)
    exec(compile(block, str(PAGE), "exec"), there)
    check(tracker, there["report"].runs)
    assert len(block.strip().splitlines()) <= 11


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="MLflow is not installed")
def test_the_recipe_runs_with_mlflows_own_file_store(there, tmp_path, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(tmp_path.as_uri())
    exec(compile(BLOCKS[3], str(PAGE), "exec"), there)
    runs = mlflow.search_runs(experiment_names=["medfeat"], output_format="list")
    found = {run.data.params["backbone"]: run.data.metrics["test_auc"] for run in runs}
    assert found == {run.backbone: pytest.approx(run.test.auc.value) for run in there["report"].runs}
