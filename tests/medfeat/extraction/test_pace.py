"""How long it will take: from the same network on this machine and device, or not known."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from medfeat.extraction.ask.store_plan import Asked
from medfeat.extraction.measure import pace
from medfeat.extraction.measure.pace import Paces
from medfeat.extraction.network.device import Machine
from medfeat.types import DatasetInfo, View
from medfeat.workflows.asking.wanted import Wanted, wanted_request, wanted_views
from medfeat.workflows.extract import extract, plan

WEIGHTS = {"origin": "pretrained"}
AS_IT_IS = (pace.resolve_devices, pace.describe_machines)


@pytest.fixture(autouse=True)
def this_machine(monkeypatch):
    monkeypatch.setattr(pace, "resolve_devices", str)
    monkeypatch.setattr(pace, "describe_machines", lambda device: Machine(device, "mine", 2, 0, "2", "3"))


def images(name="bloodmnist", *, size=28, ndim=2):
    return DatasetInfo(name, size, "multi-class", (), 3, ndim, {"train": 100}, "f")


def asked(info, *, slices=None, layer=None, precision="auto", weights=None, copies="", backbone="resnet18"):
    view = View(layer=layer, slices=slices)
    where = (info.name, info.size, info.fingerprint, backbone, "torchvision", "x", weights or WEIGHTS)
    return Asked(*where, view, "whole", precision, copies=copies)


def made(
    info=None, *, rate=10.0, images_done=500, seconds=50.0, device="cpu", machine="mine", cores=2, views=1, **options
):
    """An earlier store."""
    info = info or images()
    environment = {
        "images_per_second": rate, "images": images_done, "seconds": seconds, "device": device, "name": machine,
        "cores": cores, "views": views, "start_seconds": 4.0,
    }  # fmt: skip
    data = {"name": info.name, "size": info.size, "ndim": info.ndim}
    return SimpleNamespace(
        info={"environment": environment, "dataset": data, "asked": asked(info, **options).to_dict()}
    )


def rate(earlier, info=None, *, device="cpu", **options):
    info = info or images()
    found = Paces(device)(info, asked(info, **options), earlier)
    return None if found is None else found.images_per_second


def test_volumes_take_as_many_passes_as_they_have_slices():
    """33 seconds were promised for 43 minutes: 1,584 volumes of 28 slices an axis are 133,056 images."""
    volumes = images("adrenalmnist3d", ndim=3)
    assert rate([made(rate=48.0)], volumes) == pytest.approx(48.0 / 84)
    assert rate([made(volumes, rate=0.5)]) == pytest.approx(0.5 * 84)
    assert rate([made(rate=48.0)], images("adrenalmnist3d", size=64, ndim=3)) == pytest.approx(48.0 / 192)
    assert rate([made(rate=48.0)], volumes, slices="keep:4") == pytest.approx(48.0 / 12)
    assert rate([made(volumes, rate=4.0, slices="keep:4")], volumes) == pytest.approx(4.0 * 12 / 84)


def test_another_view_of_the_same_pass_may_have_needed_every_slice():
    volumes = images("adrenalmnist3d", ndim=3)
    assert rate([made(volumes, slices="keep:4", views=2)], volumes) is None


def test_copies_take_a_pass_each():
    assert rate([made(rate=40.0)], copies="mirror+upside-down") == pytest.approx(10.0)
    assert rate([made(rate=2.0, copies="crops 7/8")]) == pytest.approx(10.0)


@pytest.mark.parametrize(
    "other",
    [
        {"device": "cuda"},
        {"machine": "another"},
        {"cores": 64},
        {"precision": "fp32"},
        {"weights": {"origin": "random", "seed": 0}},
        {"layer": "layer1"},
        {"backbone": "resnet101"},
        {"images_done": 3},
        {"images_done": 15},
        {"seconds": 0.01},
        {"seconds": 0.49},
        {"rate": 0.0},
        {"rate": float("nan")},
        {"rate": "fast"},
    ],
    ids=str,
)
def test_what_ran_otherwise_tells_nothing(other):
    assert rate([made()]) == 10.0
    assert rate([made(**other)]) is None


def test_sixteen_images_in_half_a_second_tell_of_the_rest_and_the_fastest_of_several_is_meant():
    assert rate([made(images_done=16, seconds=0.5, rate=32.0)]) == 32.0
    assert rate([made(rate=9.0), made(rate=11.0), made(rate=10.0)]) == 11.0


def test_own_images_of_any_size_are_like_themselves_alone():
    mine = images("mine", size=0)
    assert rate([made()], mine) is None
    assert rate([made(images("other", size=0))], mine) is None
    assert rate([made(mine, rate=3.0)], mine) == 3.0


def test_small_images_of_another_size_take_as_long_where_a_processor_runs_the_network():
    large = images(size=224)
    assert rate([made()], large) == 10.0
    assert rate([made(device="cuda:0")], large, device="cuda:0") is None  # there the host decides


def test_the_best_of_several_counts_since_load_only_slows():
    assert rate([made(rate=9.0), made(rate=12.0), made(rate=4.0)]) == 12.0


def test_a_store_that_says_nonsense_of_itself_tells_nothing():
    for info in ({}, {"environment": 3}, {"environment": {"images_per_second": 1e300, "images": [], "seconds": "x"}}):
        assert rate([SimpleNamespace(info=info)]) is None


def test_the_machine_is_asked_for_only_when_there_is_something_to_compare(monkeypatch):
    def asks(device):
        raise AssertionError("torch is imported")

    monkeypatch.setattr(pace, "resolve_devices", asks)
    assert rate([]) is None
    assert rate([made(backbone="resnet101")]) is None


def test_a_plan_knows_the_time_after_the_first_store_and_not_before(counting, cache_root, monkeypatch):
    monkeypatch.setattr(pace, "resolve_devices", AS_IT_IS[0])
    monkeypatch.setattr(pace, "describe_machines", AS_IT_IS[1])
    monkeypatch.setattr(pace, "_LEAST_SECONDS", 0.0)
    asking = {"precision": "fp32", "batch_size": 16}

    def seconds(data):
        request = wanted_request(wanted_views(None, None, None), **asking)
        return plan(Wanted(data, "counting", request, cache_dir=cache_root), device="cpu").plans[0].seconds

    assert seconds("synthetic-ordinal") is None
    [store] = extract("synthetic-binary", "counting", device="cpu", cache_dir=cache_root, **asking).stores
    assert seconds("synthetic-binary") == 0
    assert store.seconds < seconds("synthetic-ordinal") < 600
