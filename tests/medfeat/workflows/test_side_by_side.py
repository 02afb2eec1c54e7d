"""Stores side by side: views of one network are joined by id, standardised on train, chosen on val; predicted with."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medfeat.errors import UsageError
from medfeat.tasks import fuse as side_by_side
from medfeat.tasks import gather, official
from medfeat.workflows.export import export
from medfeat.workflows.extract import extract
from medfeat.workflows.fusion import fuse
from medfeat.workflows.predict import predict
from medfeat.workflows.probe import probe
from medfeat_cache import FeatureStore

from .embedded import QUICK, embed, plant

COUNTS = {"train": 120, "val": 60, "test": 90}
NETWORK = {"weights": "random", "precision": "fp32", "batch_size": 16, "device": "cpu"}


def layers(root, count=4, **recipe):
    """Plant stores of some layers of one network, each with a view of its own; return their paths."""
    scaled = [1.0, 300.0, 0.01, 1.0, 5.0]
    paths = []
    for number in range(count):
        layer = None if number == count - 1 else f"blocks.{number}"
        loud = lambda _group, X, y, by=scaled[number]: (by * X + by, y)  # noqa: E731 - a planted scale
        more = {"layer": layer, "signal": 0.7, "seed": number + 1, "rows": loud, "fingerprint": "planted", **recipe}
        paths.append(plant(root, counts=COUNTS, shuffle=number == 1, **more))
    return paths


def with_depth(monkeypatch, quarter):
    """Let stores say that their layers lie at quarters of depth, as those that `extract --layer quarter` makes do."""
    from medfeat.workflows.jobs import side_by_side as places

    monkeypatch.setattr(
        places, "_of_quarter", lambda header: header.recipe.get("layer") is None or header.recipe["layer"] in quarter
    )


def test_layers_of_one_network_are_fused_without_further_options(cache_root):
    layers(cache_root)
    report = fuse("planted", ways="concat", cache_dir=cache_root, **QUICK)
    names = [way.name for way in report.fusion.ways]
    assert sorted(names[:4]) == ["fake, avg", *(f"fake, blocks.{i}, avg" for i in range(3))]
    assert names[4] == "concat of 4"
    best = report.fusion.ways[report.fusion.chosen]
    assert best.name == "concat of 4", "four independent views of a class see more than one"


def test_sizes_and_poolings_are_told_apart_by_name(cache_root):
    for size, pool in ((28, "avg"), (224, "avg"), (28, "max")):
        plant(cache_root, counts=COUNTS, size=size, pool=pool, fingerprint="planted", seed=size)
    report = fuse("planted", ways="concat", cache_dir=cache_root, **QUICK)
    assert {way.name for way in report.fusion.ways[:3]} == {"fake, avg, 28 px", "fake, avg, 224 px", "fake, max"}
    run = _on_all(cache_root, "planted")
    assert (run.size, run.store["embedding"]) == (224, "28 + 224 px, avg + max")
    assert set(run.protocol["pixels"].split(" + ")) == {"28 enlarged to 224", "native 224"}


def test_one_embedding_in_two_precisions_is_not_joined_with_itself(cache_root):
    for precision in ("fp32", "bf16"):
        plant(cache_root, counts=COUNTS, precision=precision, fingerprint="planted")
    with pytest.raises(
        UsageError, match="an embedding of fake twice, in two precisions: remove one with `medfeat cache rm"
    ):
        fuse("planted", cache_dir=cache_root, **QUICK)


def test_joined_layers_score_as_scikit_learn_s_pipeline_of_scaled_blocks(cache_root):
    paths = layers(cache_root)
    run = probe("planted", select=True, head="linear", cache_dir=cache_root, **QUICK).runs[0]
    assert run.store["embedding"] == "4 layers, avg" and run.store["dim"] == 48
    stores = [FeatureStore(path) for path in paths]
    task = official(stores[0])
    tables = {
        split: np.hstack([store.take(task.ids[task.split == split]) for store in stores]).astype(np.float64)
        for split in ("train", "test")
    }
    blocks = [(str(i), StandardScaler(), slice(12 * i, 12 * i + 12)) for i in range(4)]
    model = make_pipeline(
        ColumnTransformer(blocks), LogisticRegression(C=run.choice["settings"]["C"], tol=1e-10, max_iter=10_000)
    )
    model.fit(tables["train"], task.labels[task.split == "train", 0])
    scores = np.load(run.folder / "scores.npz")
    order = {name: row for row, name in enumerate(scores["test_ids"].tolist())}
    mine = scores["test_scores"][[order[name] for name in task.ids[task.split == "test"].tolist()]]
    np.testing.assert_allclose(mine, model.predict_proba(tables["test"]), atol=1e-4)
    for store in stores:
        store.close()


def test_val_chooses_among_last_quarter_and_all(cache_root, monkeypatch):
    layers(cache_root, 5)
    with_depth(monkeypatch, ("blocks.1", "blocks.3"))
    report = probe("planted", select=True, head="linear", cache_dir=cache_root, **QUICK)
    (selection,) = report.selections
    stood = [(one.embedding, one.dim) for one in selection.contenders]
    assert ("avg", 12) in stood, "the last layer alone"
    assert stood[-2:] == [("3 layers, avg", 36), ("5 layers, avg", 60)]
    best = max(one.best.first for one in selection.contenders)
    assert selection.contenders[selection.chosen].best.first == best
    assert len(report.runs) == 1, "test is read for the chosen one alone"


def test_poisoned_test_labels_change_no_choice(cache_root, tmp_path):
    def poisoned(group, X, y):
        return X, np.roll(y, 1) if group == "test" else y

    chosen = []
    for root, spoil in ((cache_root, None), (tmp_path / "poisoned", poisoned)):
        for number in range(3):
            layer = None if number == 2 else f"blocks.{number}"
            more = {} if spoil is None else {"rows": spoil}
            plant(root, counts=COUNTS, layer=layer, signal=0.7, seed=number, fingerprint="planted", **more)
        select = probe("planted", select=True, head="linear", cache_dir=root, **QUICK).selections[0]
        fused = fuse("planted", cache_dir=root, **QUICK).fusion
        chosen.append((select.chosen, [c.best for c in select.contenders], fused.chosen, [w.best for w in fused.ways]))
    assert chosen[0] == chosen[1]


def test_networks_and_baselines_stand_apart(cache_root):
    for name in ("one", "two", "pixels"):
        plant(cache_root, counts=COUNTS, backbone=name, signal=0.8, seed=len(name), fingerprint="planted")
    (selection,) = probe("planted", select=True, head="linear", cache_dir=cache_root, **QUICK).selections
    assert [one.backbone for one in selection.contenders] == ["one", "pixels", "two", "one+two"]


@pytest.fixture
def quarter(tmp_path, cache_root):
    """A run on the quarter of a small network's layers, and the images it was made from."""
    rng = np.random.default_rng(0)
    y = {"train": np.arange(24) % 2, "val": np.arange(12) % 2, "test": np.arange(12) % 2}
    images = {
        name: np.clip(60 + 90 * labels[:, None, None] + 40 * rng.normal(size=(len(labels), 28, 28)), 0, 255)
        for name, labels in y.items()
    }
    held = {name: (one.astype(np.uint8), y[name]) for name, one in images.items()}
    pairs = {name: list(zip(one, labels.tolist(), strict=True)) for name, (one, labels) in held.items()}
    extract(pairs, "squeezenet1_1", layer="quarter", name="held", cache_dir=cache_root, **NETWORK)
    return held


def test_new_images_are_labelled_as_the_stored_ones_were(quarter, cache_root, tmp_path):
    from PIL import Image

    fused = fuse("held", ways="concat", cache_dir=cache_root, **QUICK)
    assert len(fused.stores) == 4
    run = _on_all(cache_root)
    folder = tmp_path / "new"
    folder.mkdir()
    for row, image in enumerate(quarter["test"][0]):
        Image.fromarray(image).save(folder / f"{row:03d}.png")
    scores = np.load(run.folder / "scores.npz")
    of_images = predict(run.folder, folder, cache_dir=cache_root, device="cpu")
    np.testing.assert_allclose(of_images.scores, scores["test_scores"], atol=1e-4)
    of_store = predict(run.folder, data="held", cache_dir=cache_root)
    rows = {name: row for row, name in enumerate(of_store.ids.tolist())}
    mine = of_store.scores[[rows[name] for name in scores["test_ids"].tolist()]]
    np.testing.assert_allclose(mine, scores["test_scores"], atol=1e-6)
    with pytest.raises(UsageError, match="reads 4 stores side by side: only a run on one store is exported"):
        export(run.folder, tmp_path / "out", cache_dir=cache_root)


def _on_all(root, data="held"):
    """Probe all stores of a dataset as one, whatever val would choose."""
    from contextlib import ExitStack

    from medfeat.evaluation.judging.probe_store import Options, probe_store

    with ExitStack() as stack:
        stores = [stack.enter_context(FeatureStore(path)) for path in sorted(root.glob(f"{data}/*/*.h5"))]
        fused = side_by_side(stores)
        return probe_store(fused, official(fused), root, Options(resamples=20))


def test_what_is_written_down_names_every_store(cache_root):
    layers(cache_root)
    run = probe("planted", select=True, head="linear", cache_dir=cache_root, **QUICK).runs[0]
    again = probe("planted", select=True, head="linear", cache_dir=cache_root, **QUICK).runs[0]
    assert again.reused and again.key == run.key
    written = json.loads((run.folder / "run.json").read_text())
    assert {one["layer"] for one in written["store"]["recipe"]["stores"]} == {None, "blocks.0", "blocks.1", "blocks.2"}
    with FeatureStore(next(cache_root.glob("planted/*/*.h5"))) as store:
        assert gather(store, official(store)).ids("test").shape == (90,)


def test_features_of_the_counting_backbone_join_with_pixels(counting, cache_root):
    embed(cache_root)
    embed(cache_root, backbone="stats")
    assert (
        fuse("synthetic-binary", "counting,stats", cache_dir=cache_root, **QUICK).fusion.ways[2].name == "concat of 2"
    )
