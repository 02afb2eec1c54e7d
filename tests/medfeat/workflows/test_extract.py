"""Extraction as a whole: what is made, what is reused, what survives a failure."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import medfeat
from medfeat.errors import DataError, UsageError
from medfeat.extraction import session
from medfeat.extraction.ask.request import Request
from medfeat.extraction.measure import choose
from medfeat.extraction.network import device
from medfeat.types import SilentProgress
from medfeat.workflows.asking.data_options import DataOptions
from medfeat.workflows.asking.wanted import Wanted, wanted_views
from medfeat.workflows.extract import extract, plan
from medfeat_cache import FeatureStore, find_stores, read_header


def pictures(folder: Path, count: int, *, start: int = 0, classes: tuple[str, ...] = ("a", "b")) -> Path:
    for number in range(start, start + count):
        place = folder / classes[number % len(classes)]
        place.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{number:05d}.png")
    return folder


def run(cache_root, data="synthetic-binary", backbone="counting", **options):
    options = {"precision": "fp32", "batch_size": 16, "device": "cpu", "cache_dir": cache_root} | options
    return extract(data, backbone, **options)


def test_a_store_holds_every_image_in_its_group(counting, cache_root):
    outcome = run(cache_root).stores[0]
    with FeatureStore(outcome.path, verify=True) as store:
        dataset = medfeat.open_dataset("synthetic-binary")
        assert store.groups == ("train", "val", "test")
        for group in store.groups:
            assert list(store.ids(group)) == list(dataset.ids(group))
            np.testing.assert_array_equal(store.labels(group), dataset.labels(group))
            images = np.concatenate([batch.images for batch in dataset.batches(group, 64)])
            grey = images.reshape(len(images), -1).mean(axis=1) / 255
            np.testing.assert_allclose(store.embeddings(group)[:, 0], grey, atol=4e-3)


def test_a_second_extraction_runs_no_batch_and_changes_no_byte(counting, cache_root):
    first = run(cache_root).stores[0]
    before, batches = hashlib.sha256(first.path.read_bytes()).hexdigest(), len(counting.batches)
    second = run(cache_root)
    assert second.stores[0].action == "reuse"
    assert second.stores[0].path == first.path
    assert "reused" in second.lines()[0]
    assert len(counting.batches) == batches
    assert hashlib.sha256(first.path.read_bytes()).hexdigest() == before


def test_a_second_extraction_finds_its_store_when_the_notes_are_lost(counting, cache_root):
    first = run(cache_root).stores[0]
    for note in (cache_root / ".asked").iterdir():
        note.unlink()
    batches = len(counting.batches)
    assert run(cache_root).stores[0].path == first.path
    assert len(counting.batches) == batches


def test_every_batch_has_the_same_size(counting, cache_root):
    run(cache_root)
    assert set(counting.batches) == {1, 16}  # what is measured of a run of seconds is one image alone
    assert 1 not in counting.batches[counting.batches.index(16) :]


def test_another_fit_makes_another_store(counting, cache_root):
    paths = {run(cache_root, fit=fit).stores[0].path for fit in ("whole", "pad")}
    assert len(paths) == 2


def test_a_failed_run_goes_on_where_it_stopped(counting, cache_root):
    whole = run(cache_root / "whole").stores[0]
    counting.batches.clear()
    counting.error, counting.fail_after = DataError("cut short"), 44
    with pytest.raises(DataError, match="cut short"):
        run(cache_root)
    assert not find_stores(cache_root)
    done = len(counting.batches)
    counting.error = None
    again = run(cache_root).stores[0]
    with FeatureStore(whole.path) as one, FeatureStore(again.path) as other:
        for group in one.groups:
            np.testing.assert_array_equal(one.embeddings(group), other.embeddings(group))
            np.testing.assert_array_equal(one.ids(group), other.ids(group))
    assert again.images == whole.images
    assert done > 0


def test_memory_that_is_short_from_the_start_decides_the_batch(counting, cache_root, monkeypatch):
    monkeypatch.setitem(choose._WORTH_MEASURING, "cpu", 0.0)  # a run of seconds tries no batch before it begins
    counting.largest = 4
    outcome = run(cache_root).stores[0]
    with FeatureStore(outcome.path, verify=True) as store:
        assert store.info["settings"]["batch_size"] == 4
        assert "settings_changes" not in store.info


def test_memory_that_is_short_from_the_start_of_a_run_of_seconds_is_noted(counting, cache_root):
    counting.largest = 4
    outcome = run(cache_root).stores[0]
    with FeatureStore(outcome.path, verify=True) as store:
        assert store.info["settings"]["batch_size"] == 4
        assert [change["reason"] for change in store.info["settings_changes"]] == ["memory ran out"]


def test_what_was_measured_serves_other_data_of_the_same_form_until_it_is_forgotten(counting, cache_root, tmp_path):
    first, second = (pictures(tmp_path / name, 40, start=start) for name, start in (("first", 0), ("second", 40)))

    def looked(data, **options):
        counting.batches.clear()
        run(cache_root, str(data), **{"precision": "auto", "batch_size": "auto"} | options)
        assert counting.images >= 40
        return 1 in counting.batches

    assert looked(first)
    assert not looked(second)
    assert looked(second, fit="pad")  # another way into the network is another note
    assert looked(pictures(tmp_path / "third", 40, start=80), recheck=True)
    assert not looked(pictures(tmp_path / "fourth", 40, start=120))


def test_half_precision_of_another_dataset_says_in_the_store_where_it_was_measured(
    counting, cache_root, tmp_path, monkeypatch
):
    monkeypatch.setitem(choose._WORTH_MEASURING, "cpu", 0.0)
    for name in ("WORTHWHILE_SPEEDUP", "HOPELESS_SPEEDUP"):
        monkeypatch.setattr(choose, name, 0.0)
    monkeypatch.setattr(choose, "missing_instructions", lambda half, device: "")
    for name, start in (("first", 0), ("second", 40)):
        data = pictures(tmp_path / name, 40, start=start)
        [store] = run(cache_root, str(data), precision="auto").stores
        assert store.recipe["precision"] == "bf16"
        found = read_header(store.path).info["agreement"]
        assert (found["measured_on"], found["passed"]) == ("first", True)


def test_memory_that_runs_out_on_the_way_halves_the_batch_and_loses_nothing(counting, cache_root):
    counting.largest, counting.largest_after = 4, 20
    outcome = run(cache_root).stores[0]
    with FeatureStore(outcome.path, verify=True) as store:
        assert store.info["settings"]["batch_size"] == 4
        changes = store.info["settings_changes"]
        assert [(change["was"]["batch_size"], change["reason"]) for change in changes] == [(16, "memory ran out")]
    assert outcome.images == outcome.embedded


def test_ten_new_images_embed_ten_images(counting, cache_root, tmp_path):
    folder = pictures(tmp_path / "lesions", 200)
    run(cache_root, data=str(folder))
    pictures(folder, 10, start=200)
    outcome = run(cache_root, data=str(folder)).stores[0]
    assert (outcome.embedded, outcome.copied, outcome.images) == (10, 200, 210)
    again = tmp_path / "copy"
    folder.rename(again)
    copied = run(cache_root, data=str(again))
    assert copied.stores[0].embedded == 0 and "210 copied" in copied.lines()[0]
    assert "images/s" not in copied.lines()[0]  # of a network that never ran
    again.rename(folder)
    with FeatureStore(outcome.path, verify=True) as store:
        colours = [np.asarray(Image.open(folder / name)).mean(axis=(0, 1)) / 255 for name in store.ids("all")]
        np.testing.assert_allclose(store.embeddings("all")[:, :3], colours, atol=0.02)


def test_bad_images_are_named_left_out_and_shift_nobody(counting, cache_root, tmp_path):
    folder = pictures(tmp_path / "lesions", 40)
    (folder / "a" / "00004.png").write_bytes(b"not a picture")
    (folder / "b" / "00007.png").write_bytes(b"")
    report = run(cache_root, data=str(folder))
    assert report.exit_code() == 1
    assert report.exit_code(skip_bad=True) == 0
    assert len(report.problem_lines()) == 2
    [last] = report.last_line()
    assert last.startswith("2 of 40 images could not be read and have no embedding (exit code 1): ")
    assert "--skip-bad" in last and "--skip-bad" not in report.last_line(skip_bad=True)[0]
    with FeatureStore(report.stores[0].path, verify=True) as store:
        assert store.n("all") == 38
        colours = [np.asarray(Image.open(folder / name)).mean(axis=(0, 1)) / 255 for name in store.ids("all")]
        np.testing.assert_allclose(store.embeddings("all")[:, :3], colours, atol=0.02)


@pytest.mark.parametrize("backbone", ["counting", "stats"])
@pytest.mark.parametrize("spoiled", [range(16), range(16, 32), range(32, 33), range(33)])
def test_a_batch_without_one_good_image_is_accounted_for(counting, cache_root, tmp_path, spoiled, backbone):
    folder = pictures(tmp_path / "lesions", 33, classes=("a",))
    for number in spoiled:
        (folder / "a" / f"{number:05d}.png").write_bytes(b"")
    if len(spoiled) == 33:
        with pytest.raises(DataError, match="none of the 33 images"):
            run(cache_root, data=str(folder))
        return
    report = run(cache_root, data=str(folder), backbone=backbone)
    assert len(report.stores[0].bad) == len(spoiled)
    with FeatureStore(report.stores[0].path, verify=True) as store:
        assert store.n("all") == 33 - len(spoiled)


def test_nan_outputs_are_refused_by_id(counting, cache_root, monkeypatch):
    from medfeat.extraction.network.forward import Finished, Forward

    monkeypatch.setattr(
        Forward, "submit", lambda self, images: Finished([np.full((len(images), 6), np.nan, np.float32)])
    )
    with pytest.raises(DataError, match=r"NaN.*train/0.*--precision fp32"):
        run(cache_root)
    assert not find_stores(cache_root)


def test_a_failed_pair_does_not_stop_the_others(counting, cache_root):
    report = run(cache_root, data="synthetic-binary", backbone="nonesuch,counting")
    assert len(report.stores) == 1
    assert "nonesuch" in report.failures[0].line()
    assert report.exit_code() == 1


def test_several_views_come_from_one_pass(cache_root):
    outcome = run(cache_root, backbone="squeezenet1_1", weights="random", pool="avg,max", batch_size=64)
    assert len(outcome.stores) == 2
    assert outcome.stores[0].path != outcome.stores[1].path
    assert outcome.stores[0].backbone == "squeezenet1_1-random0"


def planned(cache_root, **request):
    """Plan the counting backbone over the synthetic set."""
    [found] = plan(Wanted("synthetic-binary", "counting", Request(**request), cache_dir=cache_root)).plans
    return found


def test_a_plan_says_what_would_be_done_and_why(counting, cache_root):
    assert planned(cache_root).action == "compute"
    counting.error, counting.fail_after = DataError("cut short"), 54
    with pytest.raises(DataError):
        run(cache_root)
    resumed = planned(cache_root, precision="fp32")
    assert resumed.action == "resume"
    counting.error = None
    run(cache_root)
    reused = planned(cache_root, precision="fp32")
    assert (reused.action, reused.images) == ("reuse", 0)
    assert "answered before" in reused.why


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "resnet10"}, "unknown backbone 'resnet10': did you mean"),
        ({"data": "bloodmnis"}, "unknown dataset 'bloodmnis': did you mean bloodmnist"),
        ({"size": 27}, "size of synthetic-binary must be one of 28, 64, got 27"),
        ({"fit": "stretch"}, "--fit must be one of whole, reference, pad, got 'stretch'"),
        ({"precision": "fp8"}, "--precision must be one of auto, fp32, bf16, fp16"),
        ({"batch_size": "many"}, "--batch-size must be auto or a positive whole number"),
        ({"device": "cuda:9"}, "device 'cuda:9' is not here"),
        ({"backbone": ","}, "--backbone is empty"),
    ],
)
def test_bad_requests_are_one_line(counting, cache_root, options, message):
    with pytest.raises(UsageError) as caught:
        run(cache_root, **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_precision_auto_resolves_and_is_found_again_without_running(counting, cache_root):
    said = SilentProgress()
    first = run(cache_root, precision="auto", progress=said).stores[0]
    assert first.recipe["precision"] in ("fp32", "bf16")
    batches = len(counting.batches)
    second = run(cache_root, precision="auto").stores[0]
    assert second.path == first.path
    assert len(counting.batches) == batches


def test_load_gives_features_labels_and_ids(counting, cache_root):
    run(cache_root)
    X, y, ids = medfeat.load("synthetic-binary", "counting", split="val", cache_dir=cache_root)
    assert len(X) == len(y) == len(ids)
    assert ids[0] == "val/0"


def test_load_says_how_several_stores_differ(counting, cache_root):
    run(cache_root)
    run(cache_root, fit="pad")
    with pytest.raises(UsageError, match=r"2 stores of synthetic-binary x counting match: .*fit "):
        medfeat.load("synthetic-binary", "counting", cache_dir=cache_root)
    assert len(medfeat.load("synthetic-binary", "counting", cache_dir=cache_root, fit="pad").ids) > 0


def test_a_plan_fetches_nothing(cache_root, tmp_path):
    options = DataOptions(data_root=str(tmp_path))
    [found] = plan(Wanted("bloodmnist", "resnet101", Request(), options, cache_dir=cache_root)).plans
    assert found.action == "compute"
    assert "not here yet" in found.why
    assert found.images == 17092
    assert found.disk_bytes == 17092 * 2048 * 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "asked", "length"),
    [
        ("synthetic-binary", {"layer": "layer2"}, 128),
        ("synthetic-binary", {"layer": "layer3", "pool": "max"}, 256),
        ("synthetic-3d", {"layer": "layer2"}, 3 * 128),
        ("synthetic-3d", {"layer": "layer2", "slices": "mean-average"}, 128),
        ("synthetic-3d", {"slices": "raptor"}, None),
        ("bloodmnist", {"layer": "layer2"}, 128),
    ],
)
def test_a_plan_knows_the_room_of_a_named_layer(cache_root, tmp_path, data, asked, length):
    network = "vit_base" if "raptor" in asked.values() else "resnet18"
    wanted = Wanted(data, network, Request(views=wanted_views(**asked)), DataOptions.of(data_root=tmp_path))
    [found] = plan(replace(wanted, cache_dir=cache_root)).plans
    # resnet18's second and third stage end in 128 and 256 channels (He et al., CVPR 2016, table 1)
    assert found.disk_bytes == (None if length is None else 4 * length * found.images)


@pytest.mark.parametrize("data", ["synthetic-binary", "bloodmnist"])
def test_a_plan_refuses_a_layer_that_is_not_there(cache_root, tmp_path, data):
    options, request = DataOptions.of(data_root=tmp_path), Request(views=wanted_views("layr2"))
    found = plan(Wanted(data, "resnet18", request, options, cache_dir=cache_root))
    assert not found.plans
    assert "layer2" in found.failures[0].error


def test_a_long_comma_list_is_no_file_name(cache_root):
    names = ",".join(["nonesuch"] * 60)
    with pytest.raises(UsageError, match="nonesuch"):
        run(cache_root, data=names, backbone="stats")


def test_recheck_reads_and_measures_again(counting, cache_root):
    first = run(cache_root).stores[0]
    again = run(cache_root, recheck=True).stores[0]
    assert again.path == first.path
    assert planned(cache_root, precision="fp32").action == "reuse"
    assert planned(cache_root, precision="fp32", recheck=True).action == "compute"


def test_a_store_begun_with_other_settings_is_finished_with_them(counting, cache_root):
    counting.error, counting.fail_after = DataError("cut short"), 44
    with pytest.raises(DataError):
        run(cache_root)
    counting.error = None
    counting.batches.clear()
    said = SilentProgress()
    outcome = run(cache_root, batch_size=8, progress=said).stores[0]
    assert set(counting.batches) == {16}
    assert any("resuming with the batch size this store was begun with: 16" in line for line in said.said)
    assert outcome.action == "resume"


def interrupted(counting, cache_root):
    counting.error, counting.fail_after = DataError("cut short"), 44
    with pytest.raises(DataError):
        run(cache_root)
    counting.error = None


def test_a_store_that_goes_on_with_other_hardware_says_so(counting, cache_root, monkeypatch):
    monkeypatch.setattr(device, "processor_name", lambda: "An older processor")
    interrupted(counting, cache_root)
    monkeypatch.setattr(device, "processor_name", lambda: "A newer processor")
    said = SilentProgress()
    [store] = run(cache_root, progress=said).stores
    assert any("begun with hardware An older processor" in line for line in said.said)
    [note] = read_header(store.path).info["settings_changes"]
    assert "An older processor" in note["was"]["hardware"] and note["reason"] == "resumed elsewhere"


def test_a_store_begun_before_hardware_was_kept_is_finished_in_silence(counting, cache_root, monkeypatch):
    plain = choose.settings_here
    monkeypatch.setattr(choose, "settings_here", lambda *given, **named: replace(plain(*given, **named), hardware=""))
    interrupted(counting, cache_root)
    said = SilentProgress()
    assert run(cache_root, progress=said).stores[0].action == "resume"
    assert not any("begun with" in line for line in said.said)


def test_a_store_begun_compiled_is_finished_eager_where_compiling_fails(counting, cache_root, monkeypatch):
    plain, build = choose.settings_here, session.make_embedder
    monkeypatch.setattr(choose, "settings_here", lambda *given, **named: replace(plain(*given, **named), compiled=True))
    interrupted(counting, cache_root)

    def without_compiler(*given, compiled, **named):
        if compiled:
            raise RuntimeError("the compiler is gone\nand more")
        return build(*given, compiled=compiled, **named)

    monkeypatch.setattr(session, "make_embedder", without_compiler)
    monkeypatch.setattr(session, "compile_problem", lambda device: None)
    said = SilentProgress()
    assert run(cache_root, progress=said).stores[0].action == "resume"
    assert "torch.compile failed (the compiler is gone): running eager" in said.said
    assert any("begun with compiled True" in line for line in said.said)
