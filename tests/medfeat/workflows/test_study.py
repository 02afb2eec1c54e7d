"""A study plans, skips what is there, goes on after a failure, stops at limits, and ends in a folder to send."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import medfeat
from medfeat.datasets import DATASETS
from medfeat.errors import UsageError
from medfeat.types import SilentProgress
from medfeat.workflows import study as workflow
from medfeat.workflows.study import plan, study
from medfeat.workflows.studying import doing, working
from medfeat.workflows.studying.cells import cells_of
from medfeat.workflows.studying.notes import all_notes
from medfeat.workflows.studying.study_file import Study
from medfeat_cache import find_stores

SMALL = """
data = ["synthetic-binary", "synthetic-ordinal"]
backbone = "stats"
head = ["majority", "prototypes"]
resamples = 20
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Write a study and run it; returns what became of it."""
    monkeypatch.chdir(tmp_path)

    def run(text=SMALL, *, name="small", cache="cache", **options):
        (tmp_path / f"{name}.toml").write_text(text)
        return study(f"{name}.toml", cache_dir=tmp_path / cache, **options)

    return run


def states(report):
    return [one.standing.state for one in report.plan.cells]


def test_every_cell_is_made_once(run, tmp_path):
    heard = SilentProgress()
    first = run(progress=heard)
    assert (first.made, first.failed, first.left, first.exit_code()) == (6, (), 0, 0)
    said = [line for line in heard.said if line.startswith("device: ")]
    assert len(said) == 1, "of two embeddings: what holds for both is said once"
    again = run()
    assert (again.made, again.exit_code()) == (0, 0) and states(again) == ["done"] * 6
    assert {path.name for path in (tmp_path / "study-small").iterdir()} == {
        "study.toml",
        "manifest.json",
        "report.html",
    }
    more = run(SMALL.replace('"majority"', '"majority", "knn"'))
    assert more.made == 2


def test_what_commands_made_is_not_made_again(run, tmp_path):
    medfeat.extract("synthetic-binary", "stats", cache_dir=tmp_path / "cache")
    medfeat.probe("synthetic-binary", head="prototypes", resamples=20, cache_dir=tmp_path / "cache")
    (tmp_path / "small.toml").write_text(SMALL)
    planned = plan("small.toml", cache_dir=tmp_path / "cache")
    there = [one.cell.name for one in planned.cells if not one.to_do]
    assert there == ["synthetic-binary / stats", "synthetic-binary / stats / prototypes / resamples 20"]
    assert run().made == 4


def test_a_failure_stops_nobody_and_is_named_with_its_reason(run):
    report = run(SMALL.replace('"stats"', '["stats", "nonesuch"]'))
    assert report.exit_code() == 1 and report.made == 6
    said = [failure.line() for failure in report.failed]
    assert len(said) == 6 and "unknown backbone 'nonesuch'" in said[0]
    assert sum("its embedding failed: unknown backbone" in line for line in said) == 4
    kept = json.loads((report.out / "manifest.json").read_text())
    assert [one["state"] for one in kept["cells"]].count("failed") == 6


def test_a_cell_that_failed_is_tried_once_a_run_and_again_in_the_next(run, monkeypatch):
    tried = []
    monkeypatch.setattr(
        "medfeat.workflows.studying.doing.extract_wanted", lambda *given, **named: tried.append(1) or 1 / 0
    )
    monkeypatch.setenv("MEDFEAT_STUDY_RUN", "one")
    assert run().exit_code() == 1 and run().exit_code() == 1
    assert len(tried) == 2  # of two embeddings, in what is one run
    monkeypatch.setenv("MEDFEAT_STUDY_RUN", "two")
    assert run().exit_code() == 1 and len(tried) == 4


def test_heads_that_cannot_learn_the_task_are_left_out_of_all_alone(run):
    text = SMALL.replace('["majority", "prototypes"]', '"all"').replace(
        '["synthetic-binary", "synthetic-ordinal"]', '"synthetic-binary"'
    )
    report = run(text)
    left = {one.cell.options["head"] for one in report.plan.cells if one.standing.state == "left out"}
    assert {"ridge", "attention", "zero-shot", "ordinal"} <= left and report.exit_code() == 0
    assert {run.head for one in report.plan.cells for run in one.standing.runs} >= {"linear", "knn", "svm", "xgboost"}
    named = run(text.replace('"all"', '"ridge"'), name="named")
    assert [failure.error for failure in named.failed] == [
        "the ridge head learns regression; this task is binary-class: choose another head"
    ]


def test_limits_stop_between_cells_and_say_what_is_left(run, monkeypatch):
    clock = iter([0.0, 1.0, 2.0, 3601.0])
    monkeypatch.setattr(working.time, "time", lambda: next(clock))
    report = run(max_hours=1)
    assert (report.made, report.left, report.exit_code()) == (2, 4, 1)
    assert "4 cells are left: the hours of --max-hours are over" in report.lines()[1]
    monkeypatch.undo()


def test_a_full_cache_stops_before_the_cell_that_would_not_fit(run):
    report = run(max_disk=1e-6)
    assert (report.made, report.left) == (0, 6) and "--max-disk allows 1e-06" in report.stopped


VIEWS = """
data = "synthetic-binary"
backbone = "timm:test_resnet.r160_in1k"
weights = "random"
precision = "fp32"
pool = ["avg", "max"]
head = "majority"
resamples = 20
"""


def test_several_views_of_a_network_come_from_one_pass(run, monkeypatch):
    passes, whole = [], doing.extract_wanted
    monkeypatch.setattr(doing, "extract_wanted", lambda *given, **named: passes.append(1) or whole(*given, **named))
    report = run(VIEWS)
    assert len(passes) == 1 and not report.failed
    assert [len(one.standing.runs) for one in report.plan.cells] == [0, 2]


def test_curves_and_seeds(run):
    text = SMALL.replace(
        'head = ["majority", "prototypes"]', 'head = "prototypes"\nshots = [2, "all"]\ndraws = 2\nseed = [0, 1]'
    )
    report = run(text)
    assert report.made == 6 and not report.failed  # two embeddings, a curve a seed
    assert all(len(one.standing.curves[0].points) == 2 for one in report.plan.cells if one.cell.kind == "curve")
    assert run(text).made == 0


TRAINED = """
data = "{noise}"
backbone = "timm:test_resnet.r160_in1k"
weights = "random"
precision = "fp32"
mode = ["full", "head"]
epochs = 1
batch-size = 12
resamples = 20
"""


def test_trainings_are_cells_that_are_found_again_without_their_network(run, tmp_path, monkeypatch):
    rng, arrays = np.random.default_rng(0), {}
    for group, count in {"train": 24, "val": 12, "test": 12}.items():
        arrays[f"{group}_images"] = rng.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        arrays[f"{group}_labels"] = (np.arange(count) % 2)[:, None]
    np.savez(tmp_path / "noise.npz", **arrays)
    text = TRAINED.format(noise=tmp_path / "noise.npz")
    first = run(text)
    assert (first.made, first.failed) == (2, ()) and first.exit_code() == 0
    modes = [run.protocol["fine_tuning"]["mode"] for one in first.plan.cells for run in one.standing.runs]
    assert modes == ["full", "head"]
    monkeypatch.setattr(doing, "tune", lambda *given, **named: 1 / 0)
    again = run(text)
    assert (again.made, again.exit_code()) == (0, 0)
    (tmp_path / "cache/tuned").rename(tmp_path / "cache/.tuned")
    shutil.rmtree(tmp_path / "cache/runs")
    assert [one.standing.state for one in plan("small.toml", cache_dir="cache").cells] == ["missing"] * 2


def test_a_grid_table_has_what_stands_above_it_and_its_own():
    found = Study.of(
        "s",
        'backbone = "stats"\n[[grid]]\ndata = "synthetic"\nhead = ["knn", "linear"]\n[[grid]]\ndata = "synthetic-3d"\n',
    )
    assert [cell.name for cell in cells_of(found)] == [
        "synthetic / stats",
        "synthetic-3d / stats",
        "synthetic / stats / knn",
        "synthetic / stats / linear",
        "synthetic-3d / stats",
    ]


NAMED = "data = 'synthetic'\nbackbone = 'stats'\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("data = 'synthetic'\nbackbon = 'stats'", "unknown key 'backbon': did you mean backbone?"),
        (NAMED + "class_weight = 'none'", "did you mean class-weight"),
        (NAMED + "size = '28'", "'size' must be a whole number, or a list of these, got '28'"),
        ("data = 'synthetic'\nbackbone = []", "'backbone' is an empty list"),
        ("data = 'synthetic'", "'backbone' is missing"),
        (NAMED + "cache-dir = '/x'", "belongs to a machine, not to a study: say --cache-dir"),
        (NAMED + "epochs = 3", "'epochs' has no effect here: add mode, or leave the key out"),
        (NAMED + "draws = 3", "'draws' has no effect here: add shots, or leave the key out"),
        (NAMED + "mode = 'full'\nrank = 3", "'rank' has no effect without mode 'lora'"),
        (NAMED + "head = 'linaer'", "did you mean linear"),
        (NAMED + "mode = 'fully'", "--mode must be one of full"),
        (NAMED + "fit = 'hole'", "--fit must be one of whole"),
        (NAMED + "choose = 'test'", "choose"),
        (NAMED + "shots = 'many'", "--shots must be whole numbers above 0, or all"),
        ("data = synthetic", "is no TOML"),
        ("grid = 3", "'grid' must be tables"),
    ],
)
def test_a_mistake_is_refused_by_name_before_anything_is_done(text, said, run, tmp_path):
    with pytest.raises(UsageError) as refused:
        run(text)
    assert said in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "cache").exists()


def test_a_name_that_is_no_study_is_refused_with_those_that_are():
    with pytest.raises(UsageError, match="or name a file that ends in"):
        study("cource")


def test_a_plan_from_measured_rates_says_what_it_takes(run, tmp_path):
    first = run(SMALL.replace(', "synthetic-ordinal"', ""))
    assert first.unknown == first.made == 3
    (tmp_path / "small.toml").write_text(SMALL)
    planned = plan("small.toml", cache_dir=tmp_path / "cache")
    assert (len(planned.missing), planned.unknown) == (3, 0)
    known = {(one.kind, one.options.get("head")): one for one in all_notes(tmp_path / "cache")}
    images = {"synthetic-binary": 640, "synthetic-ordinal": sum(DATASETS["synthetic-ordinal"].counts.values())}
    for one in planned.missing:
        note = known[one.cell.kind, one.cell.options.get("head")]
        # as long as for the first set, by how many images there are
        assert one.seconds == pytest.approx(note.seconds * images["synthetic-ordinal"] / images["synthetic-binary"])


def test_heads_that_will_be_left_out_take_no_time(run, tmp_path):
    text = 'data = "synthetic-binary"\nbackbone = "stats"\nhead = "all"\nresamples = 20\n'
    run(text)
    (tmp_path / "small.toml").write_text(text + "seed = 1\n")
    planned = plan("small.toml", cache_dir=tmp_path / "cache")
    probes = [one for one in planned.cells if one.cell.kind == "probe"]
    seconds = {one.cell.options["head"]: one.seconds for one in probes}
    assert seconds["ridge"] == 0.0 and seconds["knn"] > 0 and planned.unknown == 0
    assert "ridge" not in {one.cell.options["head"] for one in planned.missing}  # known unasked


def test_rates_of_another_machine_say_nothing(run, tmp_path, monkeypatch):
    run(SMALL.replace(', "synthetic-ordinal"', ""))
    monkeypatch.setattr("medfeat.workflows.studying.planning.machine_here", lambda here: "cpu, another, 64 cores")
    (tmp_path / "small.toml").write_text(SMALL)
    planned = plan("small.toml", cache_dir=tmp_path / "cache")
    assert [one.seconds for one in planned.missing if one.cell.kind == "probe"] == [None, None]


def test_the_folder_to_send_names_no_image_and_holds_no_place(run, tmp_path):
    report = run()
    stores = find_stores(tmp_path / "cache")
    assert stores
    for name in ("manifest.json", "report.html"):
        text = (report.out / name).read_text()
        assert "test/1" not in text and "val/1" not in text and "<img" not in text.replace("<img>", "")
    assert str(tmp_path) not in (report.out / "manifest.json").read_text()


GRIDS = """
data = "synthetic"
head = "knn"
seed = [0, 1]

[[grid]]
backbone = "resnet18"
weights = "random"

[[grid]]
backbone = "stats"
"""


def test_a_seed_is_another_network_only_where_its_weights_are_drawn():
    kinds = [cell.kind for cell in cells_of(Study.of("s", GRIDS))]
    assert kinds.count("embedding") == 3 and kinds.count("probe") == 4


def test_a_report_is_asked_of_the_runs_of_the_study_alone(run, tmp_path, monkeypatch):
    medfeat.extract("synthetic-binary", "pixels", cache_dir=tmp_path / "cache")
    medfeat.probe("synthetic-binary", "pixels", head="majority", resamples=20, cache_dir=tmp_path / "cache")
    shown = []
    whole = workflow.page_of_runs
    monkeypatch.setattr(workflow, "page_of_runs", lambda runs, **named: shown.extend(runs) or whole(runs, **named))
    run()
    assert {one.backbone for one in shown} == {"stats"} and len(shown) == 4


def test_every_key_is_a_long_option_of_the_command_it_is_for():
    from medfeat.workflows.studying.keys import COMMANDS, OPTIONS
    from printed_commands import TREE

    for kind, options in OPTIONS.items():
        known = {name for one in TREE.commands[COMMANDS[kind]].params for name in one.opts}
        assert {f"--{name}" for name in options} <= known, kind


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="cannot be read"):
        study(Path("nowhere.toml"), cache_dir=tmp_path)
