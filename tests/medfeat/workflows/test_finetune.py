"""`finetune`: trained further from its probe, a network stands beside it like for like, and everything works on it."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from medfeat.backbones.weights.weights_file import tuning_of
from medfeat.datasets import open_dataset
from medfeat.errors import UsageError
from medfeat.evaluation.runs.run import read_scores
from medfeat.evaluation.runs.saved_probe import load_probe
from medfeat.tasks import gather, official
from medfeat.types import SilentProgress
from medfeat.workflows import compare as compare_workflow
from medfeat.workflows.extract import extract
from medfeat.workflows.predict import predict
from medfeat.workflows.probe import probe
from medfeat.workflows.tuning import finetune_start, finetune_training
from medfeat_cache import FeatureStore

from .embedded import export_images
from .trainings import CNN, VIT, small, tune, weights_of


@pytest.fixture
def tuned(cache_root, monkeypatch):
    """A network that moved: on so few images val may prefer the start, so that here the last epoch is preferred."""
    monkeypatch.setattr(finetune_start.ValJudge, "beats", lambda _self, new, old: new.number > old.number)
    return tune(cache_root)


@pytest.mark.parametrize("mode", ["full", "last-blocks", "lora", "head"])
@pytest.mark.parametrize("backbone", [CNN, VIT])
def test_every_mode_trains_and_stands_beside_the_probe(cache_root, mode, backbone):
    report = tune(
        cache_root, backbone=backbone, mode=mode, augment="none", epochs=3, lr=5e-3 if mode == "lora" else 1e-3
    )
    (run,) = report.runs
    log = [line.split(",") for line in (weights_of(cache_root).parent / "log.csv").read_text().splitlines()]
    losses = [float(row[1]) for row in log[2:]]
    assert losses[-1] < losses[0]
    assert run.protocol["training"] == "fine-tuned" and run.choice["settings"]["mode"] == mode
    tried = run.choice["tried"]
    assert tried[0]["settings"] == {"epoch": 0} and run.choice["val"]["first"] >= tried[0]["first"]
    # the start is the probe itself
    assert tried[0]["first"] == pytest.approx(report.probe.val.auc.value, abs=1e-6)
    assert {difference.metric for difference in report.differences} == {"auc", "acc"}
    assert "minus" in report.tables()[-1].title


def test_the_choice_is_written_before_test_is_opened(cache_root, monkeypatch):
    from medfeat.evaluation.judging import tuned as module

    order = []
    write, split = module.recording.write_choice, module.Samples.split
    monkeypatch.setattr(module.recording, "write_choice", lambda *a: (order.append("choice"), write(*a)))
    monkeypatch.setattr(module.Samples, "split", lambda self, name: (order.append(name), split(self, name))[1])
    tune(cache_root)
    # the probe, then the tuned network
    assert [event for event in order if event in ("choice", "test")] == ["choice", "test", "choice", "test"]


def test_a_repeated_command_trains_nothing(cache_root, tuned, monkeypatch):
    monkeypatch.setattr(finetune_training, "Training", None)
    again = tune(cache_root)
    assert again.reused == 1 and again.runs[0].key == tuned.runs[0].key


def test_extract_takes_the_tuned_weights_and_the_head_gives_the_runs_scores(cache_root, tuned):
    run = tuned.runs[0]
    store = extract(
        small(cache_root.parent / "again"),
        CNN,
        weights=weights_of(cache_root),
        cache_dir=cache_root,
        device="cpu",
        precision="fp32",
    ).stores[0]
    assert store.action == "reuse" and store.recipe["weights_digest"] != tuned.probe.store["recipe"]["weights_digest"]
    report = predict(run.folder, data="tiny", cache_dir=cache_root)
    stored, test = dict(zip(report.ids.tolist(), report.scores, strict=True)), read_scores(run.folder)
    found = np.stack([stored[name] for name in test["test_ids"].tolist()])
    np.testing.assert_allclose(found, test["test_scores"], atol=1e-6)
    # a probe on tuned features is no probe of a frozen network, and says so
    again = probe("tiny", store.backbone, head="linear", cache_dir=cache_root, resamples=20)
    assert any("overlaps this dataset" in caution for run in again.runs for caution in run.cautions)


def blobs(folder):
    """Noise in which a faint spot is brighter or darker: enough images for a probe to say something sure."""
    rng, arrays = np.random.default_rng(0), {}
    for group, count in {"train": 120, "val": 40, "test": 60}.items():
        y = np.arange(count) % 2
        noise = rng.normal(120, 40, (count, 28, 28))
        noise[:, 10:18, 10:18] += ((y * 2 - 1) * 25)[:, None, None]
        arrays |= {f"{group}_images": noise.clip(0, 255).astype(np.uint8), f"{group}_labels": y[:, None]}
    np.savez(folder / "blobs.npz", **arrays)
    return str(folder / "blobs.npz")


def test_embedded_afresh_the_head_gives_the_runs_scores_and_a_fresh_probe_comes_near(cache_root, tmp_path, monkeypatch):
    """The head itself to 1e-5; a probe of its own is another optimum, as sure as its C makes it, but orders alike."""
    monkeypatch.setattr(finetune_start.ValJudge, "beats", lambda _self, new, old: new.number > old.number)
    data, elsewhere = blobs(tmp_path), tmp_path / "elsewhere"
    options = {"epochs": 4, "batch_size": 16, "smoothing": 0.0, "augment": "none"}
    report = tune(cache_root, data=data, **options)
    run, expected = report.runs[0], read_scores(report.runs[0].folder)["test_scores"]
    store = extract(data, CNN, weights=weights_of(cache_root), cache_dir=elsewhere, device="cpu", precision="fp32")
    assert store.stores[0].action == "compute"
    with FeatureStore(store.stores[0].path) as opened:
        features = gather(opened, official(opened)).test.X
    np.testing.assert_allclose(load_probe(run.folder).scores(features), expected, atol=1e-5)
    fresh = probe("blobs", store.stores[0].backbone, head="linear", cache_dir=elsewhere, resamples=20).runs[0]
    probed, frozen = (read_scores(one.folder)["test_scores"] for one in (fresh, report.probe))
    agree, before = (spearmanr(scores[:, 1], expected[:, 1]).statistic for scores in (probed, frozen))
    assert agree > 0.95 and agree > before  # nearer than a probe of the network before it was tuned
    assert np.abs(probed - expected).mean() < np.abs(frozen - expected).mean()
    assert fresh.test.auc.value == pytest.approx(run.test.auc.value, abs=0.03)


def test_predict_gives_exported_images_the_runs_scores(cache_root, tuned, tmp_path):
    run = tuned.runs[0]
    report = predict(
        run.folder, export_images(tmp_path / "images", small(tmp_path)), cache_dir=cache_root, device="cpu"
    )
    np.testing.assert_allclose(report.scores, read_scores(run.folder)["test_scores"], atol=1e-4)


def test_tuned_weights_tell_what_they_were_made_from_and_going_on_is_marked(cache_root, tuned):
    path = weights_of(cache_root)
    story = tuning_of(path)
    assert story["started_from"]["origin"] == "random" and story["settings"]["mode"] == "full"
    tune(cache_root, weights=str(path), seed=1)
    further = next(p for p in (cache_root / "tuned").glob("*/*/model.safetensors") if p != path)
    assert tuning_of(further)["started_from"]["tuned"]["settings"] == story["settings"]


def test_compare_puts_a_tuned_run_among_the_runs_and_beside_its_probe(cache_root, monkeypatch):
    report = tune(cache_root, epochs=1, mode="head")
    # as if the tiny set were a published one
    both = [replace(run, dataset="breastmnist") for run in (report.runs[0], report.probe)]
    monkeypatch.setattr(compare_workflow, "list_runs", lambda _root: (both, []))
    found = compare_workflow.compare(cache_dir=cache_root)
    facts = json.loads(found.render("json"))
    (comparison,) = facts["comparisons"]
    trainings = {run["key"]: run["protocol"]["training"] for run in comparison["runs"]}
    assert trainings == {both[0].key: "fine-tuned", both[1].key: "linear probe"}
    (beside,) = facts["tuned"]
    assert (beside["run"], beside["start"]) == (both[0].key, both[1].key)
    gap = both[0].test.auc.value - both[1].test.auc.value
    assert beside["differences"][0]["difference"]["value"] == pytest.approx(gap)
    assert "fine-tuned minus its linear probe" in found.render()
    assert all(beside["costs"][name]["probe"]["energy_wh"] > 0 for name in ("run", "start"))


def test_several_seeds_are_several_runs_with_mean_and_spread(cache_root):
    report = tune(cache_root, mode="head", seeds=2)
    assert [run.protocol["seed"] for run in report.runs] == [0, 1]
    values = [run.test.auc.value for run in report.runs]
    assert report.spread["auc"]["mean"] == pytest.approx(np.mean(values))
    assert report.spread["auc"]["std"] == pytest.approx(np.std(values, ddof=1))


def test_where_no_epoch_beats_the_start_the_probe_is_kept_and_the_run_says_so(cache_root, monkeypatch):
    monkeypatch.setattr(finetune_start.ValJudge, "beats", lambda _self, new, old: new.number < old.number)
    report = tune(cache_root)
    run = report.runs[0]
    assert run.choice["settings"]["epoch"] == 0
    assert "full: none of 2 epochs beats the start on val, which is kept" in run.notes
    kept, probe_of = (read_scores(one.folder)["test_scores"] for one in (run, report.probe))
    np.testing.assert_allclose(kept, probe_of, atol=1e-6)
    assert "none of 2 epochs" in "".join(report.tables()[0].notes)


def test_a_picture_and_tensorboard_show_what_the_log_says(cache_root, tmp_path):
    from PIL import Image
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tune(cache_root, mode="head", tensorboard=tmp_path / "board")
    folder = weights_of(cache_root).parent
    with Image.open(folder / "curve.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 300
    (events,) = (tmp_path / "board").iterdir()
    shown = EventAccumulator(str(events)).Reload()
    log = np.genfromtxt(folder / "log.csv", delimiter=",", names=True)
    for tag, column, first in (("train/loss", "loss", 1), ("val/auc", "val", 0), ("val/acc", "val_second", 0)):
        found = [(event.step, event.value) for event in shown.Scalars(tag)]
        np.testing.assert_allclose(found, np.column_stack([log["epoch"], log[column]])[first:], rtol=1e-6)


def test_without_tensorboard_one_line_names_the_extra_before_anything_runs(cache_root, monkeypatch, capsys):
    from medfeat_cli.main import run

    monkeypatch.setitem(sys.modules, "tensorboard", None)
    command = ["finetune", "--data", "synthetic-binary", "--backbone", CNN, "--weights", "random"]
    assert run([*command, "--tensorboard", "board", "--cache-dir", str(cache_root)]) != 0
    said = capsys.readouterr().err.strip()
    assert "pip install 'medfeat[tensorboard]'" in said and "\n" not in said
    assert not list(cache_root.glob("**/*.h5"))


def test_an_average_of_epochs_is_in_the_run_its_scores_and_its_weights(cache_root, monkeypatch):
    monkeypatch.setattr(finetune_start.ValJudge, "beats", lambda _self, new, old: new.number >= old.number)
    run = tune(cache_root, soup=2).runs[0]
    *epochs, average = run.choice["tried"]
    assert [one["settings"] for one in epochs] == [{"epoch": number} for number in range(3)]
    assert average["settings"] == {"average of epochs": [2, 1]} and run.choice["val"]["first"] == average["first"]
    assert run.val.auc.value == pytest.approx(average["first"], abs=1e-6)
    assert any("average of epochs 2 and 1 is better on val" in note for note in run.notes)
    assert tuning_of(weights_of(cache_root))["average_of_epochs"] == [2, 1]


@pytest.mark.parametrize(
    ("data", "task"),
    [("synthetic", None), ("synthetic-multilabel", "multi-label"), ("synthetic-ordinal", "ordinal-regression")],
)
def test_every_task_type_trains(cache_root, data, task):
    run = tune(cache_root, data=data, task=task, epochs=1).runs[0]
    assert run.task["type"] == (task or "multi-class") and run.choice["val"]["first"] >= run.choice["tried"][0]["first"]


def test_numbers_train(cache_root, tmp_path):
    dataset = open_dataset(small(tmp_path))
    ids = {group: dataset.ids(group) for group in dataset.info.counts}
    rng = np.random.default_rng(0)
    rows = [f"{name},{rng.normal() * 10 + 50:.3f},{group}" for group, names in ids.items() for name in names]
    table = tmp_path / "ages.csv"
    table.write_text("id,age,split\n" + "\n".join(rows) + "\n")
    report = tune(cache_root, labels=table, task="regression", partial=True)
    run = report.runs[0]
    assert run.task["type"] == "regression" and run.headline == ("r2", "mae")
    assert run.val.values["r2"].value >= report.probe.val.values["r2"].value - 1e-6


def volumes(folder):
    """Balls of two sizes in 8 x 8 x 8 voxels."""
    rng, arrays = np.random.default_rng(0), {}
    grid = np.indices((8, 8, 8)) - 3.5
    for group, count in {"train": 8, "val": 6, "test": 6}.items():
        y = np.arange(count) % 2
        balls = [np.where((grid**2).sum(0) < (2 + r) ** 2, 200, 20) + rng.integers(0, 30, (8, 8, 8)) for r in y]
        arrays |= {f"{group}_images": np.array(balls, np.uint8), f"{group}_labels": y[:, None]}
    np.savez(folder / "balls.npz", **arrays)
    return str(folder / "balls.npz")


def test_volumes_train_through_their_slices(cache_root, tmp_path):
    options = {"epochs": 1, "batch_size": 2, "slices": "mean-average", "mode": "lora"}
    report = tune(cache_root, data=volumes(tmp_path), **options)
    assert report.runs[0].store["recipe"]["slices"] == "mean-average"
    assert report.runs[0].choice["tried"][0]["first"] == pytest.approx(report.probe.val.auc.value, abs=1e-6)


def test_never_starts_at_a_head_that_knows_nothing(cache_root):
    run = tune(cache_root, from_probe="never", mode="head").runs[0]
    assert run.choice["tried"][0]["first"] == 0.5


def test_another_runs_head_is_taken_only_for_the_same_question_and_features(cache_root, tuned):
    named = tune(cache_root, from_probe=tuned.probe.key[:12], mode="head").runs[0]
    assert named.choice["tried"][0]["first"] == pytest.approx(tuned.probe.val.auc.value, abs=1e-6)
    with pytest.raises(UsageError, match="another question"):
        tune(cache_root, from_probe=tuned.probe.key[:12], shots=4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "all"}, "--mode must be one of full, last-blocks, lora, head"),
        ({"backbone": "pixels"}, "no weights to tune"),
        ({"backbone": "a,b"}, "names one network"),
        ({"epochs": 0}, "epochs must be 1 or more"),
        ({"max_minutes": 0}, "--max-minutes must be above 0"),
        ({"augment": "wild"}, "--augment must be one of auto, none"),
        ({"class_weight": "some"}, "--class-weight must be one of none, balanced, auto"),
    ],
)
def test_what_cannot_be_meant_is_one_line(cache_root, options, said):
    with pytest.raises(UsageError, match=said):
        tune(cache_root, **({"weights": None} if options.get("backbone") == "pixels" else {}) | options)


def test_a_destroying_rate_is_said_before_the_first_epoch(cache_root):
    progress = SilentProgress()
    tune(cache_root, backbone=VIT, epochs=1, progress=progress)
    loud = next(i for i, line in enumerate(progress.said) if line.startswith("WARNING"))
    assert loud < next(i for i, line in enumerate(progress.said) if line.startswith("epoch 1"))
    assert progress.said.count("device: cpu") == 1, "before and after the training"


def test_a_killed_command_resumes_to_the_same_weights(cache_root, tmp_path, monkeypatch):
    other = tmp_path / "other"
    tune(cache_root, epochs=3)
    step, steps = finetune_training.Training._gradients, []

    def killed(self, *arguments):
        steps.append(1)
        if len(steps) == 4:
            raise KeyboardInterrupt
        return step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(finetune_training.Training, "_gradients", killed)
        with pytest.raises(KeyboardInterrupt):
            tune(other, epochs=3)
    with pytest.raises(UsageError, match=r"epochs 3 \(now 4\).*--restart"):
        tune(other, epochs=4)
    progress = SilentProgress()
    tune(other, epochs=3, progress=progress)
    assert "resuming at epoch 2" in progress.said
    assert story_digest(weights_of(cache_root)) == story_digest(weights_of(other))


def story_digest(path):
    from safetensors.numpy import load_file

    return {name: value.tobytes() for name, value in load_file(path).items()}


def test_cached_last_blocks_equal_the_whole_network_trained(cache_root, tmp_path, monkeypatch):
    tune(cache_root, mode="last-blocks", augment="none", epochs=1, lr=1e-4)

    @contextmanager
    def whole(model, feed, counts, settings, **_):
        sample = feed(np.arange(2)).inputs
        model.eval()
        finetune_training.learning_units(model.network, sample, settings.blocks)
        yield model, (feed, finetune_training.replace(feed, first=counts[0]))

    monkeypatch.setattr(finetune_training, "_fed", whole)
    tune(tmp_path / "other", mode="last-blocks", augment="none", epochs=1, lr=1e-4)
    from safetensors.numpy import load_file

    one, other = load_file(weights_of(cache_root)), load_file(weights_of(tmp_path / "other"))
    for name, value in one.items():
        np.testing.assert_allclose(value, other[name], atol=1e-4, err_msg=name)


def test_the_trunk_is_said_to_run_again_where_images_change(cache_root):
    progress = SilentProgress()
    tune(cache_root, mode="last-blocks", augment="auto", epochs=1, progress=progress)
    assert any("frozen trunk runs again" in line for line in progress.said)


def test_a_dry_run_says_time_memory_and_disk_and_does_nothing(cache_root, capsys):
    from medfeat_cli.main import run

    command = [
        "finetune",
        "--precision",
        "fp32",
        "--data",
        "synthetic-binary",
        "--backbone",
        CNN,
        "--cache-dir",
        str(cache_root),
        "--dry-run",
    ]
    assert run([*command, "--weights", "random"]) == 0
    said = capsys.readouterr().out
    assert "not known before" in said and "memory" in said and "disk" in said
    assert not list(cache_root.glob("**/*.h5"))
    extract("synthetic-binary", CNN, weights="random", device="cpu", precision="fp32", cache_dir=cache_root)
    assert run([*command, "--weights", "random", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["train"] == 400 and found["val"] == 80 and found["seconds"] > 0
    assert not (cache_root / "tuned").exists()


def test_own_images_split_by_patient_train(cache_root, tmp_path):
    folder = export_images(tmp_path / "scans")
    labels = open_dataset("synthetic-binary").labels("test")[:, 0]
    rows = [f"scans/{i:05d}.png,{y},p{i // 4}" for i, y in enumerate(labels.tolist())]
    table = tmp_path / "scans.csv"
    table.write_text("path,label,patient\n" + "\n".join(rows) + "\n")
    assert folder.is_dir()
    report = tune(cache_root, data=str(table), epochs=1, patient_column="patient")
    assert report.runs[0].protocol["intervals"].endswith("cluster bootstrap of the rest")
