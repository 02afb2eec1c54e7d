"""Slices and tokens that are kept: extracted, probed by attention or by their mean, predicted, searched, mended."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import medfeat
from medfeat.backbones import BACKBONES, Entry
from medfeat.errors import OneVectorError, UsageError
from medfeat.evaluation.judging.cross_validation import choose_by
from medfeat.evaluation.judging.reading import gather_for
from medfeat.heads.attention import AttentionHead
from medfeat.tasks import gather, official
from medfeat.types import BackboneInfo, SilentProgress
from medfeat.workflows import cache
from medfeat.workflows.audit import audit
from medfeat.workflows.predict import predict
from medfeat.workflows.probe import probe
from medfeat.workflows.report import write_report
from medfeat.workflows.search import search
from medfeat.workflows.transfer import transfer
from medfeat_cache import FeatureStore, StoreWriter, read_header, recipe_digest, verify_store
from medfeat_cache.coverage import GroupSpec

COUNTS = {"train": 48, "val": 24, "test": 24}
QUICK = {"resamples": 20}


def network():
    """Sixteen places of six numbers: (B, 3, 16, 16) -> (B, 6, 4, 4)."""
    torch.manual_seed(0)
    return nn.Conv2d(3, 6, 4, 4)


@pytest.fixture
def places():
    """Register the network as `places`."""
    info = BackboneInfo(
        name="places", source="clinic", source_id="1", input_size=16, mean=(0.0,) * 3, std=(1.0,) * 3,
        interpolation="bilinear", pool="avg", origin="random",
    )  # fmt: skip
    BACKBONES.add("places", Entry(info, build=network))
    yield "places"
    BACKBONES.remove("places")


def pictures(folder, *, volumes=False):
    """Write an npz of noise, in which one place (or slice) of each second image is bright; return its path."""
    rng = np.random.default_rng(0)
    arrays = {}
    for group, count in COUNTS.items():
        labels = np.arange(count) % 2
        images = rng.integers(40, 100, (count, *((8, 8, 8) if volumes else (16, 16))), dtype=np.uint8)
        for row, at in zip(np.flatnonzero(labels), rng.integers(0, 4, (count, 2)), strict=False):
            images[(row, at[0]) if volumes else (row, *(slice(4 * i, 4 * i + 4) for i in at))] = 220
        arrays |= {f"{group}_images": images, f"{group}_labels": labels[:, None]}
    np.savez(folder / "toy.npz", **arrays)
    return folder / "toy.npz"


def extracted(data, root, **options):
    """Extract with the places network; return the outcomes."""
    options = {"precision": "fp32", "batch_size": 16, "device": "cpu", "cache_dir": root, "compile": False} | options
    return medfeat.extract(str(data), "places", **options).stores


@pytest.fixture
def tokens(tmp_path, cache_root, places):
    """The store of all places of the toy pictures."""
    (store,) = extracted(pictures(tmp_path), cache_root, pool="tokens")
    return store.path


def test_every_place_is_kept_with_its_shape_and_the_mean_is_their_mean(tmp_path, cache_root, places):
    data = pictures(tmp_path)
    kept, mean = extracted(data, cache_root, pool="tokens,avg")
    with FeatureStore(kept.path, verify=True) as bags, FeatureStore(mean.path) as means:
        assert (bags.shape, means.shape) == ((16, 6), (6,))
        assert (bags.recipe["kept"], "kept" in means.recipe) == ("tokens", False)
        images = torch.tensor(np.load(data)["train_images"]).float().div(255)[:, None].expand(-1, 3, -1, -1)
        by_hand = network()(images).detach().numpy().reshape(48, 6, 16).transpose(0, 2, 1)
        ids = bags.ids(bags.groups[0])[:48]
        np.testing.assert_allclose(bags.take(ids), by_hand, atol=1e-5)
        np.testing.assert_allclose(bags.take(ids).mean(axis=1), means.take(ids), atol=1e-5)
    again = extracted(data, cache_root, pool="tokens")[0]
    assert (again.action, again.shape) == ("reuse", (16, 6))


def test_slices_are_kept_all_or_a_few(tmp_path, cache_root, places):
    every, few, mean = extracted(pictures(tmp_path, volumes=True), cache_root, slices="keep,keep:2,mean-average")
    with FeatureStore(every.path) as bags, FeatureStore(few.path) as some, FeatureStore(mean.path) as means:
        assert (bags.shape, some.shape) == ((24, 6), (6, 6))
        group = bags.groups[0]
        # of eight slices in two stretches, those in the middle: 2 and 6
        np.testing.assert_array_equal(some.read(group), bags.read(group)[:, [2, 6, 10, 14, 18, 22]])
        np.testing.assert_allclose(bags.read(group).mean(axis=1), means.read(group), atol=1e-5)
        assert bags.recipe["kept"] == "slices"


def test_float16_takes_half_the_room_and_is_another_store(tmp_path, cache_root, places):
    data = pictures(tmp_path)
    (full,) = extracted(data, cache_root, pool="tokens")
    (half,) = extracted(data, cache_root, pool="tokens", dtype="float16")
    with FeatureStore(full.path) as whole, FeatureStore(half.path, verify=True) as rounded:
        assert (rounded.dtype, rounded.recipe["dtype"], "dtype" in whole.recipe) == (np.float16, "float16", False)
        group = whole.groups[0]
        np.testing.assert_array_equal(rounded.read(group), whole.read(group).astype(np.float16))
        assert 2 * rounded.column(group, "embeddings").nbytes == whole.column(group, "embeddings").nbytes
    with pytest.raises(UsageError, match="--dtype must be float32 or float16, got 'int8'"):
        extracted(data, cache_root, pool="tokens", dtype="int8")


def test_a_damaged_bag_is_embedded_again_byte_for_byte(tokens):
    before = tokens.read_bytes()
    with FeatureStore(tokens) as store:
        row = store.read(store.groups[0])[5]
    data = bytearray(before)
    data[data.index(row.tobytes())] ^= 255
    tokens.write_bytes(data)
    assert not verify_store(tokens).ok
    repaired = cache.repair(tokens, device="cpu")
    assert repaired.exact and tokens.read_bytes() == before


def flat(tokens, root):
    """Write the store as a medfeat of before did: the tokens of an image end to end, a recipe that says nothing."""
    with FeatureStore(tokens) as store:
        recipe = {name: value for name, value in store.recipe.items() if name != "kept"}
        info = store.info | {"asked": {name: value for name, value in store.info["asked"].items() if name != "kept"}}
        path = tokens.with_name(f"{recipe_digest(recipe)[:12]}.h5")
        with StoreWriter.open(path, recipe=recipe, info=info, settings=info["settings"]) as writer:
            writer.groups({group: GroupSpec(store.ids(group), store.labels(group)) for group in store.groups})
            for group in store.groups:
                rows = store.read(group)
                writer.write_rows(group, store.rows(group), rows.reshape(len(rows), -1), store.image_hash(group))
            return writer.publish()


def test_a_store_of_before_with_tokens_end_to_end_stays_what_it_was(tokens, tmp_path, cache_root, places):
    old = flat(tokens, cache_root)
    before = old.read_bytes()
    with FeatureStore(old) as store:
        assert store.shape == (96,)
        row = store.read(store.groups[0])[5]
    data = bytearray(before)
    data[data.index(row.tobytes())] ^= 255
    old.write_bytes(data)
    assert cache.repair(old, device="cpu").exact
    assert old.read_bytes() == before
    tokens.unlink()
    (new,) = extracted(tmp_path / "toy.npz", cache_root, pool="tokens")
    assert (new.shape, new.path) == ((16, 6), tokens), "what is asked for now is made, not found in the old one"


def test_load_gives_bags(tokens, cache_root):
    X, y, ids = medfeat.load("toy", "places", split="val", cache_dir=cache_root)
    assert X.shape == (24, 16, 6) and X.dtype == np.float32 and len(y) == len(ids) == 24
    with FeatureStore(tokens) as store:
        np.testing.assert_array_equal(X, store.take(ids))
    with pytest.raises(UsageError, match="as_frame has a row a sample, and here each has 16 vectors"):
        medfeat.load("toy", "places", as_frame=True, cache_dir=cache_root)


def test_attention_is_kept_with_its_run_and_a_saved_probe_says_the_same_of_images(tokens, tmp_path, cache_root):
    (run,) = probe("toy", head="attention", cache_dir=cache_root, **QUICK).runs
    assert run.test.auc.value > 0.9
    assert run.store["shape"] == [16, 6]
    assert not any("averaged" in note for note in run.notes)
    kept = np.load(run.folder / "attention.npz", allow_pickle=False)
    assert kept["test_attention"].shape == (24, 16)
    np.testing.assert_allclose(kept["test_attention"].sum(axis=1), 1, atol=1e-5)
    page = write_report("toy", out=tmp_path / "page.html", images=False, cache_dir=cache_root).out
    assert "What counted, over test" in page.read_text(encoding="utf-8")
    scores = np.load(run.folder / "scores.npz")
    assert kept["test_ids"].tolist() == scores["test_ids"].tolist()
    for asked in ({"data": "toy"}, {"images": str(tmp_path / "toy.npz"), "device": "cpu"}):
        said = predict(run.key[:12], cache_dir=cache_root, **asked)
        at = {name: i for i, name in enumerate(said.ids.tolist())}
        order = [at[name] for name in scores["test_ids"].tolist()]
        np.testing.assert_allclose(said.scores[order], scores["test_scores"], atol=1e-5)
        np.testing.assert_allclose(said.attention[order], kept["test_attention"], atol=1e-5)
        first = dict(zip(said.columns(), next(said.rows()), strict=True))
        most = int(said.attention[0].argmax())
        assert first["looked_at"].split("|")[0] == f"{most}:{said.attention[0, most]:.3f}"


def test_other_heads_see_the_mean_and_say_so(tmp_path, cache_root, places):
    kept, mean = extracted(pictures(tmp_path), cache_root, pool="tokens,avg")
    runs = {run.store["digest"]: run for run in probe("toy", head="linear", cache_dir=cache_root, **QUICK).runs}
    bags, means = (runs[read_header(store.path).digest] for store in (kept, mean))
    assert "the 16 tokens of each image are averaged" in bags.notes
    assert not any("averaged" in note for note in means.notes)
    found, expected = (np.load(run.folder / "scores.npz")["test_scores"] for run in (bags, means))
    np.testing.assert_allclose(found, expected, atol=1e-3)
    said = predict(bags.key[:12], str(tmp_path / "toy.npz"), device="cpu", cache_dir=cache_root)
    assert said.attention is None and "looked_at" not in said.columns()


def test_attention_needs_several_vectors(tmp_path, cache_root, places):
    extracted(pictures(tmp_path), cache_root)
    with pytest.raises(OneVectorError, match=r"weighs several vectors of a sample, and .* has one: extract with"):
        probe("toy", head="attention", cache_dir=cache_root, **QUICK)


@pytest.mark.parametrize("how", ["val", "cv"])
def test_poisoned_test_labels_change_no_choice(tokens, how):
    with FeatureStore(tokens) as store:
        task = official(store)
        poisoned = replace(task, labels=np.where((task.split == "test")[:, None], 1 - task.labels, task.labels))
        assert (poisoned.labels != task.labels).sum() == 24
        choices = []
        for question in (task, poisoned):
            samples = gather_for(AttentionHead(), store, question)
            choices.append(choose_by(how, samples, AttentionHead(), seed=0, progress=SilentProgress()))
            assert "test" not in samples.opened
            X = samples.X("test")
        clean, other = choices
        assert clean.to_dict() == other.to_dict()
        np.testing.assert_array_equal(clean.val_scores, other.val_scores)
        np.testing.assert_array_equal(clean.model.scores(X), other.model.scores(X))


def test_bags_are_read_from_the_file_a_few_samples_at_a_time(tokens, monkeypatch):
    monkeypatch.setattr("medfeat.tasks.bags._BLOCK_BYTES", 5 * 16 * 6 * 4)
    with FeatureStore(tokens) as store:
        samples = gather_for(AttentionHead(), store, official(store))
        X = samples.X("train")
        whole = store.take(samples.ids("train"))
        assert X.shape == (48, 16, 6) and len(X[3:7]) == 4
        np.testing.assert_array_equal(np.asarray(X), whole)
        np.testing.assert_array_equal(np.asarray(X[[5, 2]]), whole[[5, 2]])
        np.testing.assert_array_equal(np.asarray(X[np.arange(48) % 2 == 0]), whole[::2])
        model = next(
            AttentionHead().candidates(
                (X, samples.train.y), (samples.X("val"), samples.val.y), "binary-class", 2,
                seed=0, progress=SilentProgress(),
            )
        ).model  # fmt: skip
        np.testing.assert_allclose(model.scores(X), model.scores(whole), atol=1e-6)


def test_search_and_audit_look_at_the_mean_and_say_so_once(tokens, cache_root, tmp_path):
    progress = SilentProgress()
    with FeatureStore(tokens) as store:
        ids = np.concatenate([store.ids(group) for group in store.groups])
        means = np.concatenate([store.read(group) for group in store.groups]).mean(axis=1)
    units = means / np.linalg.norm(means, axis=1, keepdims=True)
    found = search("toy", "places", id=str(ids[7]), k=3, cache_dir=cache_root, progress=progress)
    order = ids[np.argsort(-(units @ units[7]), kind="stable")].tolist()
    assert [hit.id for hit in found.hits] == [name for name in order if name != ids[7]][:3]
    assert progress.said.count("the 16 tokens of each image are averaged") == 1
    report = audit("toy", "places", threshold=0.9999, cache_dir=cache_root, resamples=20)
    assert report.notes.count("the 16 tokens of each image are averaged") == 1


def test_attention_is_for_the_stores_that_have_several_and_baselines_keep_their_head(tmp_path, cache_root, places):
    data = pictures(tmp_path)
    kept, _ = extracted(data, cache_root, pool="tokens,avg")
    medfeat.extract(str(data), "stats", cache_dir=cache_root)
    report = probe("toy", "places", head="attention", cache_dir=cache_root, **QUICK)
    assert [run.store["digest"] for run in report.runs] == [read_header(kept.path).digest]
    assert [(run.backbone, run.head) for run in report.baselines] == [("stats", "linear")]
    assert not report.failed


@pytest.mark.parametrize("head", ["linear", "attention"])
def test_bags_are_tested_elsewhere_as_they_are_here(head, tokens, cache_root, monkeypatch):
    monkeypatch.setattr("medfeat.tasks.bags._BLOCK_BYTES", 4096)  # several blocks
    there = {split: transfer("toy", "toy", head=head, split=split, resamples=20, cache_dir=cache_root).transfers[0]
             for split in ("test", "all")}  # fmt: skip
    assert there["test"].elsewhere.auc.value == there["test"].run.test.auc.value
    assert there["all"].elsewhere.n == sum(COUNTS.values())


def test_samples_are_one_vector_each_unless_bags_are_asked_for(tokens):
    with FeatureStore(tokens) as store:
        one, bags = gather(store, official(store)), gather(store, official(store), bags=True)
        X = store.take(one.ids("test"))
        assert X.ndim == 3 and one.X("test").shape == (len(X), X.shape[-1])
        np.testing.assert_allclose(one.X("test"), X.mean(axis=1), rtol=1e-5, atol=1e-6)
        assert bags.X("test").shape == X.shape
