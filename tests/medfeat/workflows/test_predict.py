"""`predict`: a saved probe gives new images the scores it gave stored ones, abstains honestly, and runs no code."""

from __future__ import annotations

import csv
import io
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from rich.text import Text

from medfeat.datasets import open_dataset
from medfeat.errors import DataError, UsageError
from medfeat.evaluation.measures.calibration import fit_temperature
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.runs.run import read_scores
from medfeat.evaluation.runs.saved_probe import load_probe
from medfeat.report.tables import terminal
from medfeat.tasks import official
from medfeat.types import SilentProgress
from medfeat.workflows.predict import predict
from medfeat.workflows.probe import probe
from medfeat_cache import FeatureStore

from .embedded import QUICK, embed, export_images, plant

_P = ("p:irregular mass", "p:smooth mass")


@pytest.fixture
def probed(counting, cache_root):
    """A run on the synthetic binary set, and the counter of its network."""
    embed(cache_root)
    return probe("synthetic-binary", head="linear", cache_dir=cache_root, **QUICK).runs[0], counting


@pytest.mark.parametrize("head", ["linear", "knn", "xgboost", "auto"])
def test_scores_of_exported_images_are_the_stored_ones(counting, cache_root, tmp_path, head):
    embed(cache_root)
    run = probe("synthetic-binary", head=head, cache_dir=cache_root, **QUICK).runs[0]
    folder = export_images(tmp_path / "images")
    before = counting.images
    report = predict(run.folder, folder, cache_dir=cache_root, device="cpu")
    assert report.ids[0] == "00000.png"
    np.testing.assert_allclose(report.scores, read_scores(run.folder)["test_scores"], atol=1e-4)
    assert counting.images - before == len(report.ids) == report.embedded


def test_the_csv_has_an_answer_a_row_and_all_digits_of_the_scores(probed, cache_root, tmp_path):
    run, _ = probed
    out = tmp_path / "silver.csv"
    report = predict(run.key[:10], export_images(tmp_path / "images"), out=out, cache_dir=cache_root, error_rate=0.05)
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert list(rows[0]) == ["id", "label", "confidence", "set", "abstain", "ood", "ood p", *_P]
    assert [float(row["p:smooth mass"]) for row in rows] == report.scores[:, 1].tolist()
    for row in rows:
        assert (row["set"] == row["label"]) == (row["abstain"] == "0")
    assert json.loads(json.dumps(report.to_dict()))["n"] == 160


def test_stored_images_are_labelled_without_the_network(probed, cache_root):
    run, counting = probed
    before = counting.images
    report = predict(run.folder, data="synthetic-binary", cache_dir=cache_root)
    assert counting.images == before and report.embedded == 0
    stored = dict(zip(report.ids.tolist(), report.scores[:, 1], strict=True))
    test = read_scores(run.folder)
    assert [stored[name] for name in test["test_ids"].tolist()] == pytest.approx(test["test_scores"][:, 1].tolist())


def test_images_that_cannot_be_read_are_named_and_get_no_label(probed, cache_root, tmp_path):
    run, _ = probed
    folder = export_images(tmp_path / "images")
    (folder / "00003.png").write_bytes(b"no picture")
    report = predict(run.folder, folder, cache_dir=cache_root)
    assert len(report.ids) == 159 and "00003.png" not in report.ids
    assert report.problem_lines()[0].startswith("00003.png was skipped")
    assert report.last_line()[0].startswith("1 of 160 images could not be read and has no label (exit code 1): ")


@pytest.mark.parametrize("error_rate", [0.05, 0.1, 0.2])
def test_sets_miss_the_truth_as_often_as_asked(cache_root, error_rate):
    plant(cache_root, counts={"train": 600, "val": 4000, "test": 8000}, classes=4, signal=1.0)
    run = probe("planted", head="linear", cache_dir=cache_root, **QUICK).runs[0]
    report = predict(run.folder, data="planted", cache_dir=cache_root, error_rate=error_rate)
    test = read_scores(run.folder)
    coverage = report.conformal.covers(
        LabelledScores.of(test["test_labels"], test["test_scores"], report.task_type)
    ).mean()
    assert coverage == pytest.approx(1 - error_rate, abs=0.02)
    assert 0 < report.abstain.mean() < 1


def test_a_val_split_too_small_for_the_error_rate_decides_nothing(cache_root):
    plant(cache_root, counts={"train": 60, "val": 15, "test": 60})
    run = probe("planted", head="linear", cache_dir=cache_root, **QUICK).runs[0]
    report = predict(run.folder, data="planted", cache_dir=cache_root, error_rate=0.01)
    assert report.abstain.all()
    assert report.tables()[0].notes[0].startswith("CAUTION: val is too small")


def test_a_few_images_are_shown_one_by_one_and_many_are_counted(probed, cache_root, tmp_path):
    run, _ = probed
    folder = export_images(tmp_path / "images")
    for path in sorted(folder.iterdir())[20:]:
        path.unlink()
    report = predict(run.folder, folder, cache_dir=cache_root)
    table = report.tables()[0]
    assert table.columns == ("image", "label", "probability", "set", "abstain", "ood")
    assert [row[0] for row in table.rows] == [f"{i:05d}.png" for i in range(20)]
    assert [row[1] for row in table.rows] == report.labels
    assert [row[4] == "yes" for row in table.rows] == report.abstain.tolist()
    counted = predict(run.folder, data="synthetic-binary", cache_dir=cache_root).tables()[0]
    assert counted.columns == ("label", "images", "of these abstained", "of these ood")


def test_images_of_long_names_are_rows_on_a_terminal_of_80_columns(probed, cache_root, tmp_path):
    folder = export_images(tmp_path / "images")
    for i, image in enumerate(sorted(folder.iterdir())):
        _ = image.unlink() if i >= 3 else image.rename(folder / f"patient-{i:03d}-left.png")
    report = predict(probed[0].key, folder, cache_dir=cache_root)
    (table,) = report.tables()
    header = next(line for line in drawn(table, 80).splitlines() if "image" in line and "label" in line)
    assert header.split()[:2] == ["image", "label"]
    assert ("abstain" in header) == report.abstain.any()  # that a label cannot be kept is never left out


def drawn(table, width):
    console = Console(file=io.StringIO(), width=width)
    for part in terminal([table], width):
        console.print(part, soft_wrap=isinstance(part, Text))
    return console.file.getvalue()


def test_few_val_samples_are_said_loudly(cache_root):
    plant(cache_root, counts={"train": 60, "val": 13, "test": 60})
    run = probe("planted", head="linear", cache_dir=cache_root, **QUICK).runs[0]
    report = predict(run.folder, data="planted", cache_dir=cache_root)
    assert "only 13 val images" in report.cautions[0] and "13 independent samples" in report.ood_unknown
    assert report.tables()[0].notes[0] == f"CAUTION: {report.cautions[0]}"
    assert report.to_dict()["cautions"] == list(report.cautions)


def test_a_run_that_folds_chose_is_calibrated_on_all_samples_that_they_left_out(cache_root):
    plant(cache_root, counts={"train": 60, "val": 13, "test": 400}, signal=1.0)
    run = probe("planted", choose="cv", cache_dir=cache_root, **QUICK).runs[0]
    report, probed = predict(run.folder, data="planted", cache_dir=cache_root), load_probe(run.folder)
    assert report.conformal.n == 73 and report.conformal.in_folds and report.cautions == ()
    assert "calibrated on 73 train and val samples, each by a fold that left it out" in report.tables()[0].notes[0]
    stored = read_scores(run.folder)
    labels, scores = (np.concatenate([stored[f"{split}_{name}"] for split in ("train", "val")])
                      for name in ("labels", "scores"))  # fmt: skip
    strange = np.sort(1 - scores[np.arange(73), labels[:, 0]])
    assert report.conformal.limit == pytest.approx(strange[66])  # the 67th: 74 x .9, rounded up
    assert probed.temperature == pytest.approx(fit_temperature(LabelledScores.of(labels, scores, "multi-class")))
    assert len(probed.val) == 13  # thresholds stay where the run's own are


def test_a_run_of_before_such_scores_were_kept_says_how_to_have_them(cache_root):
    plant(cache_root, counts={"train": 60, "val": 13, "test": 60})
    run = probe("planted", choose="cv", cache_dir=cache_root, **QUICK).runs[0]
    stored = {name: column for name, column in read_scores(run.folder).items() if not name.startswith("train_")}
    np.savez(run.folder / "scores.npz", **stored)
    (run.folder / "digests.json").unlink()
    heard = SilentProgress()
    report = predict(run.folder, data="planted", cache_dir=cache_root, progress=heard)
    assert report.conformal.n == 13 and not report.conformal.in_folds
    (said,) = [line for line in heard.said if "scores of train" in line]
    assert f"medfeat runs delete {run.key[:12]}" in said


def test_a_val_of_few_patients_is_calibrated_by_patient(cache_root):
    counts = {"train": 60, "val": 60, "test": 60}
    plant(cache_root, counts=counts, classes=2, signal=0.5)
    store = next(cache_root.glob("planted/fake/*.h5"))
    with FeatureStore(store) as opened:
        own = official(opened)
    patients = np.array([f"{split}{i % 12}" for i, split in enumerate(own.split.tolist())])
    run = probe(
        "planted", task=replace(own, name="by-patient", group=patients), head="linear", cache_dir=cache_root, **QUICK
    ).runs[0]
    report = predict(run.folder, data="planted", cache_dir=cache_root)
    assert report.conformal.patients == 12 and report.conformal.n == 60
    assert "12 val patients (60 images)" in report.cautions[0]


def test_images_of_another_set_are_called_unlike_those_of_training(cache_root):
    plant(cache_root, counts={"train": 300, "val": 100, "test": 200})
    plant(cache_root, counts={"all": 100}, dataset="other", rows=lambda group, X, y: (X * 0.2 + 9, y))
    run = probe("planted", head="linear", cache_dir=cache_root, **QUICK).runs[0]
    own = predict(run.folder, data="planted", cache_dir=cache_root)
    assert own.ood[own.ids > "val"].mean() < 0.12  # train itself is nearer than val
    assert not any("unlike" in line for line in own.cautions)
    other = predict(run.folder, data="other", cache_dir=cache_root)
    assert other.ood.all() and "100 of 100 images are unlike" in other.cautions[-1]


def test_without_its_store_a_probe_says_that_it_cannot_tell_what_is_unlike(probed, cache_root, tmp_path):
    run, _ = probed
    folder = export_images(tmp_path / "images")
    next(cache_root.glob("synthetic-binary/counting/*.h5")).unlink()
    report = predict(run.folder, folder, cache_dir=cache_root)
    assert report.ood is None and "is not here" in report.ood_unknown
    (shown, *_) = report.tables()
    assert (
        shown.columns[-1] == "of these ood"
        and {row[-1] for row in shown.rows} == {"not known"}
        and report.to_dict()["ood"] is None
    )


def test_data_of_another_recipe_is_refused_and_the_fields_are_named(cache_root):
    plant(cache_root, counts={"train": 60, "val": 30, "test": 60})
    plant(cache_root, counts={"train": 60, "val": 30, "test": 60}, dataset="other", pool="max", size=64)
    run = probe("planted", head="linear", cache_dir=cache_root, **QUICK).runs[0]
    with pytest.raises(UsageError, match="pool avg there, max here; size 28 there, 64 here"):
        predict(run.folder, data="other", cache_dir=cache_root)


def test_a_probe_saved_for_another_recipe_is_refused(probed, cache_root):
    run, _ = probed
    path = run.folder / "model" / "probe.json"
    facts = json.loads(path.read_text())
    facts["recipe"]["input_size"] = 32
    path.write_text(json.dumps(facts))
    (run.folder / "digests.json").unlink()  # as of an older medfeat; else its digests alone refuse it
    with pytest.raises(DataError, match=r"saved for another recipe than its run \(input_size differ\)"):
        predict(run.folder, data="synthetic-binary", cache_dir=cache_root)


class Hostile:
    """Unpickled, it would leave a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("kind", ["pickle", "skops"])
def test_a_hostile_model_file_is_one_line_and_runs_nothing(probed, cache_root, tmp_path, kind):
    run, _ = probed
    marker, path = tmp_path / "executed", run.folder / "model" / "head.skops"
    (run.folder / "digests.json").unlink()  # as of an older medfeat; else its digests alone refuse it
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Hostile(marker)))
    else:
        from sklearn.preprocessing import FunctionTransformer
        from skops.io import dumps

        path.write_bytes(dumps(FunctionTransformer(func=pytest.fail)))
    with pytest.raises(DataError, match=r"not opened|not loaded") as caught:
        predict(run.folder, data="synthetic-binary", cache_dir=cache_root)
    assert "\n" not in str(caught.value)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "give --images"),
        ({"data": "synthetic-binary", "error_rate": 1.5}, "between 0 and 1, got 1.5"),
        ({"data": "nonesuch"}, "no store of nonesuch x counting"),
    ],
)
def test_bad_requests_are_one_line(probed, cache_root, options, said):
    run, _ = probed
    with pytest.raises(UsageError, match=said):
        predict(run.folder, cache_dir=cache_root, **options)


def test_a_run_goes_by_its_folder_its_whole_key_or_how_that_begins(probed, cache_root):
    run, _ = probed
    assert len(run.key) == 64
    for name in (run.folder, str(run.folder), run.key, run.key[:30], run.key[:12], run.key[:8]):
        assert predict(name, data="synthetic-binary", cache_dir=cache_root).run == run.key


def test_a_run_that_is_not_there_is_said(cache_root):
    with pytest.raises(UsageError, match="no run begins with 'abc'"):
        predict("abc", data="x", cache_dir=cache_root)


def test_the_card_says_what_the_probe_is_and_what_it_must_not_be_used_for(probed):
    run, _ = probed
    text = (run.folder / "card.md").read_text()
    for part in ("linear head on counting", "Not a medical device", "licence CC0-1.0", "Temperature", "| auc |"):
        assert part in text


def test_a_csv_an_npz_one_file_and_a_name_are_images_too(probed, cache_root, tmp_path):
    run, _ = probed
    folder = export_images(tmp_path / "images")
    whole = predict(run.folder, folder, cache_dir=cache_root).scores
    (tmp_path / "list.csv").write_text("file\nimages/00007.png\nimages/00003.png\n")
    listed = predict(run.folder, tmp_path / "list.csv", path_column="file", cache_dir=cache_root)
    assert listed.ids.tolist() == ["images/00003.png", "images/00007.png"]
    np.testing.assert_allclose(listed.scores, whole[[3, 7]], atol=1e-4)
    np.savez(tmp_path / "some.npz", images=next(open_dataset("synthetic-binary").batches("test", 5)).images)
    packed = predict(run.folder, tmp_path / "some.npz", cache_dir=cache_root)
    np.testing.assert_allclose(packed.scores, whole[:5], atol=1e-4)
    one = predict(run.folder, folder / "00009.png", cache_dir=cache_root)
    np.testing.assert_allclose(one.scores, whole[[9]], atol=1e-4)
    named = predict(run.folder, "synthetic-binary", cache_dir=cache_root)
    np.testing.assert_allclose(named.scores[named.ids == "test/11"], whole[[11]], atol=1e-4)


def write_dicom(path, pixels):
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    file.Rows, file.Columns = pixels.shape
    file.SamplesPerPixel, file.PixelRepresentation, file.PhotometricInterpretation = 1, 0, "MONOCHROME2"
    file.BitsAllocated = file.BitsStored = 16
    file.HighBit = 15
    file.PixelData = pixels.tobytes()
    file.save_as(path, enforce_file_format=True)


def test_a_dicom_series_is_embedded_like_any_other_image(probed, cache_root, tmp_path):
    pytest.importorskip("pydicom")
    run, _ = probed
    folder = tmp_path / "series"
    folder.mkdir()
    for i, image in enumerate(next(open_dataset("synthetic-binary").batches("test", 3)).images):
        write_dicom(folder / f"{i}.dcm", image.astype(np.uint16) * 16)
    report = predict(run.folder, folder, intensity="range:0..4080", cache_dir=cache_root)
    assert len(report.ids) == 3
    np.testing.assert_allclose(report.scores, read_scores(run.folder)["test_scores"][:3], atol=1e-3)


def test_volumes_are_refused_by_a_probe_of_images(probed, cache_root):
    run, _ = probed
    with pytest.raises(UsageError, match="holds volumes, and synthetic-binary holds images"):
        predict(run.folder, "synthetic-3d", cache_dir=cache_root)


def test_labels_and_numbers_have_their_own_columns(counting, cache_root, tmp_path):
    embed(cache_root, data="synthetic-multilabel")
    run = probe("synthetic-multilabel", head="linear", cache_dir=cache_root, **QUICK).runs[0]
    report = predict(run.folder, data="synthetic-multilabel", cache_dir=cache_root, out=tmp_path / "m.csv")
    row = next(csv.DictReader((tmp_path / "m.csv").read_text().splitlines()))
    assert set(row["label"].split("|")) <= {*report.classes, ""}
    embed(cache_root)
    run = probe("synthetic-binary", task="regression", head="ridge", cache_dir=cache_root, **QUICK).runs[0]
    predict(run.folder, data="synthetic-binary", cache_dir=cache_root, out=tmp_path / "r.csv")
    row = next(csv.DictReader((tmp_path / "r.csv").read_text().splitlines()))
    assert float(row["low"]) < float(row["label"]) < float(row["high"])
    assert [name for name in row if name.startswith("y:")] and len(set(row)) == len(row)


def test_colour_images_for_a_probe_on_grey_pixels_are_refused_by_what_they_are(cache_root, tmp_path):
    embed(cache_root, backbone="pixels")
    run = probe("synthetic-binary", "pixels", head="linear", cache_dir=cache_root, **QUICK).runs[0]
    folder = export_images(tmp_path / "images")
    for path in folder.iterdir():
        Image.open(path).convert("RGB").save(path)
    with pytest.raises(DataError, match=r"gives 2352 numbers by pixels.* 784 each: one is grey"):
        predict(run.folder, folder, cache_dir=cache_root)
