"""`probe --bag layers|patients`: through the real command, with attention kept, shown and made again."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import medfeat
from medfeat.backbones import BACKBONES, Entry
from medfeat.errors import UsageError
from medfeat.types import BackboneInfo
from medfeat.workflows.probe import probe
from medfeat.workflows.report import write_report
from medfeat_cli.main import app

QUICK = {"resamples": 20}


@pytest.fixture
def stages():
    """Register a network of three stages as `stages`."""

    def network():
        torch.manual_seed(0)
        parts = [nn.Conv2d(3, 4, 2, 2), nn.ReLU(), nn.Conv2d(4, 6, 2, 2), nn.ReLU(), nn.Conv2d(6, 5, 2, 2)]
        for part in parts[::2]:
            nn.init.uniform_(part.weight)  # brighter pictures give larger numbers
        return nn.Sequential(*parts)

    info = BackboneInfo(
        name="stages", source="clinic", source_id="1", input_size=16, mean=(0.0,) * 3, std=(1.0,) * 3,
        interpolation="bilinear", pool="avg", origin="random",
    )  # fmt: skip
    BACKBONES.add("stages", Entry(info, build=network))
    yield "stages"
    BACKBONES.remove("stages")


@pytest.fixture
def clinic(tmp_path):
    """Write pictures of patients and a table of them: of an ill one, one picture is bright; return the table's path."""
    rng = np.random.default_rng(0)
    lines = ["path,label,patient,split"]
    for number in range(60):
        ill, split = number % 2, ("train", "train", "val", "test")[number // 2 % 4]
        bright = rng.integers(count := int(rng.integers(1, 5)))
        for image in range(count):
            pixels = rng.integers(30, 90, (16, 16), dtype=np.uint8) + np.uint8(120 * (ill and image == bright))
            Image.fromarray(pixels).save(tmp_path / f"p{number}_{image}.png")
            lines.append(f"p{number}_{image}.png,{'ill' if ill else 'well'},p{number},{split}")
    (tmp_path / "clinic.csv").write_text("\n".join(lines))
    return tmp_path / "clinic.csv"


def extracted(data, root, **options):
    medfeat.extract(str(data), "stages", precision="fp32", batch_size=64, device="cpu", compile=False,
                    cache_dir=root, **options)  # fmt: skip


def command(*words, root):
    done = CliRunner().invoke(app, ["probe", *words, "--resamples", "20", "--cache-dir", str(root), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_patients_are_judged_by_all_their_images_and_what_counted_is_shown(clinic, cache_root, stages):
    extracted(clinic, cache_root)
    (run,) = command("--data", "clinic", "--bag", "patients", root=cache_root)["runs"]
    assert (run["head"], run["task"]["name"]) == ("attention", "official by patient")
    (run,) = probe("clinic", bag="patients", cache_dir=cache_root, **QUICK).runs
    assert run.reused
    scores, kept = np.load(run.folder / "scores.npz"), np.load(run.folder / "attention.npz")
    owners = {line.split(",")[0].split("_")[0]: line.split(",")[3] for line in clinic.read_text().splitlines()[1:]}
    assert sorted(scores["test_ids"].tolist()) == sorted(name for name, split in owners.items() if split == "test")
    assert run.test.auc.value > 0.8
    for patient, images, weights in zip(kept["test_ids"], kept["test_images"], kept["test_attention"], strict=True):
        there = images != ""
        assert all(f"{patient}_" in name for name in images[there])
        assert weights[there].sum() == pytest.approx(1, abs=1e-5) and (weights[~there] == 0).all()
    page = write_report("clinic", cache_dir=cache_root, out=cache_root / "page.html").out.read_text()
    assert "image that counted most" in page and "--bag patients" in page
    assert "patient 1" in page and kept["test_ids"][0] not in page


def test_other_heads_see_the_mean_over_a_patient(clinic, cache_root, stages):
    extracted(clinic, cache_root)
    by, alone = (
        probe("clinic", head="linear", bag=bag, cache_dir=cache_root, **QUICK).runs[0] for bag in ("patients", None)
    )
    assert by.key != alone.key and by.test.n < alone.test.n
    assert "by patients" in by.store["embedding"] and "by patients" not in alone.store["embedding"]


def test_what_patients_cannot_be_asked_is_said_in_one_line(clinic, cache_root, stages, make_store):
    extracted(clinic, cache_root)
    (run,) = probe("clinic", bag="patients", cache_dir=cache_root, **QUICK).runs
    for asked in (lambda: medfeat.predict(run.folder, data="clinic", cache_dir=cache_root),):
        with pytest.raises(UsageError, match="judges a patient by all images together") as caught:
            asked()
        assert "\n" not in str(caught.value)
    make_store(dataset="breastmnist")
    with pytest.raises(UsageError, match="names no patients: give --labels with the columns id, label and patient"):
        probe("breastmnist", bag="patients", cache_dir=cache_root, **QUICK)
    with pytest.raises(UsageError, match="--bag must be layers or patients, got 'slices'"):
        probe("breastmnist", bag="slices", cache_dir=cache_root, **QUICK)
    with pytest.raises(UsageError, match=r"no network has two in the cache: .*--layer quarter"):
        probe("breastmnist", bag="layers", cache_dir=cache_root, **QUICK)


def test_layers_are_weighed_for_each_image_and_new_images_are_labelled_by_them(clinic, cache_root, stages):
    extracted(clinic, cache_root, layer="every")
    (found,) = command("--data", "clinic", "--bag", "layers", root=cache_root)["runs"]
    assert found["head"] == "attention" and len(found["store"]["recipe"]["stores"]) == 3
    (run,) = probe("clinic", bag="layers", cache_dir=cache_root, **QUICK).runs
    assert run.reused
    kept, scores = np.load(run.folder / "attention.npz"), np.load(run.folder / "scores.npz")
    assert kept["test_attention"].shape == (len(scores["test_ids"]), 3)
    np.testing.assert_allclose(kept["test_attention"].sum(axis=1), 1, atol=1e-5)
    again = medfeat.predict(run.folder, data="clinic", cache_dir=cache_root)
    rows = [again.ids.tolist().index(name) for name in scores["test_ids"].tolist()]
    np.testing.assert_allclose(again.scores[rows], scores["test_scores"], atol=1e-6)
    page = write_report("clinic", cache_dir=cache_root, out=cache_root / "page.html").out.read_text()
    assert "layer last, avg" in page and "--bag layers" in page
    with pytest.raises(UsageError, match="leave --select out"):
        probe("clinic", bag="layers", select=True, cache_dir=cache_root, **QUICK)
