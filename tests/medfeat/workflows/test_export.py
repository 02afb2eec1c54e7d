"""An exported run works where it is taken: by its path alone, with no cache, and as a graph that others run."""

from __future__ import annotations

import os
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from medfeat.backbones import describe
from medfeat.datasets import open_dataset
from medfeat.errors import MedfeatError, MissingExtraError, UsageError
from medfeat.evaluation.runs.run import read_run, read_scores
from medfeat.workflows.export import export
from medfeat.workflows.extract import extract
from medfeat.workflows.predict import predict
from medfeat.workflows.probe import probe
from medfeat.workflows.tuning import finetune_start, onnx_graph
from medfeat_cli.main import run as command_line

from .embedded import export_images
from .trainings import CNN, small, tune, weights_of

FRESH = {"device": "cpu", "precision": "fp32"}


@pytest.fixture
def tuned(cache_root, monkeypatch):
    """A network that moved, on its own images."""
    monkeypatch.setattr(finetune_start.ValJudge, "beats", lambda _self, new, old: new.number > old.number)
    return tune(cache_root).runs[0]


def probed(root, data, backbone=CNN, **options):
    """The run of a linear head on an untrained network."""
    extract(data, backbone, weights=None if backbone == "pixels" else "random", cache_dir=root, **FRESH)
    return probe(cache_dir=root, resamples=20, **{"head": "linear", **options}).runs[0]


def test_by_its_path_alone_it_labels_images_and_embeds(cache_root, tuned, tmp_path):
    report = export(tuned.key[:12], tmp_path / "given", cache_dir=cache_root)
    expected = read_scores(tuned.folder)["test_scores"]
    data = small(tmp_path)
    shutil.rmtree(cache_root)
    elsewhere = tmp_path / "elsewhere"
    found = predict(report.folder, export_images(tmp_path / "images", data), cache_dir=elsewhere, device="cpu")
    np.testing.assert_allclose(found.scores, expected, atol=1e-4)
    store = extract(data, CNN, weights=report.folder, cache_dir=elsewhere, **FRESH).stores[0]
    assert store.recipe["weights_digest"] == tuned.store["recipe"]["weights_digest"]
    # that these weights have seen the dataset goes with them
    again = probe("tiny", store.backbone, head="linear", cache_dir=elsewhere, resamples=20)
    assert any("overlaps this dataset" in caution for caution in again.runs[0].cautions)


def test_the_best_run_of_a_dataset_is_exported_and_all_may_read_what_others_may(cache_root, tmp_path):
    run = probed(cache_root, small(tmp_path))
    before = os.umask(0o022)
    try:
        given = tmp_path / "given"
        asked = ["export", "best", "--data", run.dataset, "--out", str(given), "--cache-dir", str(cache_root)]
        assert command_line(asked) == 0
    finally:
        os.umask(before)
    assert read_run(given).key == run.key
    rights = {path.name: path.stat().st_mode & 0o777 for path in given.rglob("*") if path.is_file()}
    assert set(rights.values()) == {0o644}, rights


def test_a_dataset_beside_a_run_that_is_named_is_refused(cache_root, capsys):
    assert command_line(["export", "3f9a", "--data", "tiny", "--cache-dir", str(cache_root)]) == 2
    assert "--data has no effect without best" in capsys.readouterr().err


def test_a_folder_of_tuned_weights_says_what_they_have_seen(cache_root, tuned, tmp_path):
    folder = weights_of(cache_root).parent
    store = extract(small(tmp_path), CNN, weights=folder, cache_dir=tmp_path / "other", **FRESH).stores[0]
    run = probe("tiny", store.backbone, head="linear", cache_dir=tmp_path / "other", resamples=20).runs[0]
    assert any("overlaps this dataset" in caution for caution in run.cautions)


def test_what_is_known_of_weights_goes_with_them(cache_root, tmp_path):
    """Of a file of weights nothing is known but what medfeat wrote into it: that these are random, for one."""
    run = probed(cache_root, small(tmp_path))
    assert run.cautions == ("random weights",)
    report = export(run.folder, tmp_path / "given", cache_dir=cache_root)
    extract(small(tmp_path), CNN, weights=report.folder, cache_dir=tmp_path / "other", **FRESH)
    assert probe(head="linear", cache_dir=tmp_path / "other", resamples=20).runs[0].cautions == ("random weights",)


def test_it_holds_no_ids_no_paths_and_nothing_that_could_run(cache_root, tuned, tmp_path):
    report = export(tuned.folder, tmp_path / "given", cache_dir=cache_root)
    assert {name.rpartition(".")[2] for name in report.files} == {"json", "md", "npz", "safetensors", "skops"}
    with np.load(report.folder / "scores.npz", allow_pickle=False) as scores:
        assert set(scores.files) == {"val_labels", "val_scores"}
    private = [str(tmp_path), str(cache_root.parent), *read_scores(tuned.folder)["val_ids"].tolist()]
    for path in report.folder.rglob("*.*"):
        content = path.read_bytes()
        assert not any(name.encode() in content for name in private), path
    assert "For research" in (report.folder / "README.md").read_text(encoding="utf-8")


def test_other_weights_in_it_are_refused(cache_root, tuned, tmp_path):
    report = export(tuned.key[:12], tmp_path / "given", cache_dir=cache_root)
    other = export(probed(tmp_path / "other", small(tmp_path)).folder, tmp_path / "frozen", cache_dir=cache_root)
    shutil.copy(other.folder / "model.safetensors", report.folder / "model.safetensors")
    with pytest.raises(MedfeatError, match="not the ones its store was made with"):
        predict(report.folder, export_images(tmp_path / "images", small(tmp_path)), cache_dir=cache_root)


def test_what_cannot_be_exported_is_one_line(cache_root, tmp_path):
    data = small(tmp_path)
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("mine")
    raw = probed(tmp_path / "raw", data, "pixels")
    with pytest.raises(UsageError, match="is no network: nothing to export"):
        export(raw.folder, tmp_path / "given", cache_dir=cache_root)
    run = probed(cache_root, data, head="knn")
    with pytest.raises(UsageError, match="is there and not empty"):
        export(run.folder, full, cache_dir=cache_root)
    with pytest.raises(
        UsageError, match=r"only a linear head is written as a graph; `medfeat probe .* --head linear` makes one"
    ):
        export(run.folder, tmp_path / "given", onnx=True, cache_dir=cache_root)
    assert not (tmp_path / "given").exists() and (full / "thesis.txt").read_text() == "mine"


def resized(images):
    """Colour levels as the graph takes them, by Pillow alone."""
    info = describe(CNN)
    chosen = Image.Resampling[info.interpolation.upper()]
    sized = [Image.fromarray(image).resize((info.input_size,) * 2, chosen).convert("RGB") for image in images]
    return np.stack([np.asarray(image, np.float32).transpose(2, 0, 1) for image in sized])


@pytest.mark.parametrize(
    ("data", "task"),
    [("synthetic-binary", None), ("synthetic", None), ("synthetic-multilabel", "multi-label"), ("numbers", None)],
)
def test_the_graph_gives_the_runs_scores(cache_root, tmp_path, data, task):
    import onnxruntime

    images = small(tmp_path, "synthetic-binary" if data == "numbers" else data)
    options = {"task": task} if task else {}
    if data == "numbers":
        ids = open_dataset(images)
        rows = [f"{name},{i % 7}.5,{group}" for group in ids.info.counts for i, name in enumerate(ids.ids(group))]
        (tmp_path / "ages.csv").write_text("id,age,split\n" + "\n".join(rows) + "\n")
        options = {"labels": tmp_path / "ages.csv", "task": "regression", "partial": True}
    extract(images, CNN, weights="random", cache_dir=cache_root, **FRESH | ({} if data == "numbers" else options))
    of_store = {"head": "linear"} if data != "numbers" else options | {"head": "ridge"}
    run = probe(cache_dir=cache_root, resamples=20, **of_store).runs[0]
    report = export(run.folder, tmp_path / "given", onnx=True, cache_dir=cache_root)
    assert report.onnx_difference <= onnx_graph.TOLERANCE
    session = onnxruntime.InferenceSession(str(report.folder / "network.onnx"), providers=["CPUExecutionProvider"])
    with np.load(images) as file:
        found = session.run(None, {"pixels": resized(file["test_images"])})[0]
    np.testing.assert_allclose(found, read_scores(run.folder)["test_scores"], atol=1e-4, rtol=1e-4)


def test_a_graph_that_gives_other_scores_is_not_left(cache_root, tmp_path, monkeypatch):
    run = probed(cache_root, small(tmp_path))
    written = onnx_graph._written
    monkeypatch.setattr(onnx_graph, "_written", lambda *arguments: written(*arguments) + 0.01)
    with pytest.raises(MedfeatError, match=r"differs by 1.0e-02 \(1e-04 is allowed\)"):
        export(run.folder, tmp_path / "given", onnx=True, cache_dir=cache_root)
    assert not list(tmp_path.glob("*given*"))


def test_without_onnx_one_line_names_the_extra(cache_root, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'medfeat\[onnx\]'"):
        export("nothing", tmp_path / "given", onnx=True, cache_dir=cache_root)


def test_the_command_says_what_it_wrote(cache_root, tmp_path, capsys):
    from medfeat_cli.main import run

    made = probed(cache_root, small(tmp_path))
    assert run(["export", made.key[:12], "--out", str(tmp_path / "given"), "--cache-dir", str(cache_root)]) == 0
    assert f"run {made.key[:12]} is in {tmp_path / 'given'}: 9 files" in capsys.readouterr().out
    assert read_run(tmp_path / "given").key == made.key
