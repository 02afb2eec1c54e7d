"""What stands beside the tensors of a training script's file: read past where it is harmless, and never run."""

from __future__ import annotations

import argparse
import collections
import datetime
import enum
import functools
import io
import os
import pathlib
import pickle
import shutil
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medfeat.backbones import load_backbone
from medfeat.backbones.weights.unpickling import HARMLESS, Inert, load_tensors
from medfeat.backbones.weights.weights_file import read_state
from medfeat.errors import WeightsError

TENSORS = {"conv.weight": torch.arange(6.0).reshape(2, 3)}


class Mode(enum.Enum):
    ON = 1


class Args(argparse.Namespace):
    pass


def saved(folder: Path, beside: object, **content: object) -> Path:
    torch.save({"state_dict": TENSORS, "beside": beside, **content}, folder / "net.pth")
    return folder / "net.pth"


@pytest.mark.parametrize(
    "beside",
    [
        argparse.Namespace(lr=0.1, data=pathlib.Path("a/b"), nested=argparse.Namespace(sizes=[1, 2])),
        np.float64(0.9),
        np.float32(0.9),
        np.int64(3),
        np.bool_(True),
        np.arange(3),
        np.dtype("float32"),
        [np.float64, float, list],
        functools.partial(torch.optim.AdamW, lr=1e-3, betas=(0.9, 0.95)),
        functools.partial(torch.nn.LayerNorm, eps=1e-6),
        functools.partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=np.int64(3)),
        pathlib.PosixPath("a/b"),
        collections.OrderedDict(a=1),
        collections.defaultdict(list, a=[1, 2]),
        collections.defaultdict(dict, a={"b": np.float64(1)}),
        datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC),
        datetime.timedelta(seconds=3),
        {1, 2},
        frozenset([1]),
        range(3),
        slice(1, 2),
        types.SimpleNamespace(a=1),
        1j,
        b"bytes",
    ],
    ids=repr,
)
def test_harmless_things_beside_the_tensors_are_read_past(tmp_path: Path, beside: object) -> None:
    held = read_state(saved(tmp_path, beside))
    assert list(held) == ["conv.weight"]
    assert torch.equal(held["conv.weight"], TENSORS["conv.weight"])


def test_an_enum_of_torchvision_is_read_past(tmp_path: Path) -> None:
    from torchvision.transforms import InterpolationMode

    assert list(read_state(saved(tmp_path, InterpolationMode.BICUBIC))) == ["conv.weight"]


def test_the_numbers_of_numpy_1_are_read_past(tmp_path: Path) -> None:
    file = tmp_path / "net.pth"
    torch.save({"state_dict": TENSORS, "best": np.float64(0.9)}, file)
    rewrite(file, lambda data: data.replace(b"numpy._core.multiarray\n", b"numpy.core.multiarray\n"))
    assert list(read_state(file)) == ["conv.weight"]


def rewrite(file: Path, change: Callable[[bytes], bytes]) -> None:
    """Change the pickle inside of a file of torch."""
    other = file.with_suffix(".new")
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(other, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            target.writestr(name, change(data) if name.endswith("data.pkl") else data)
    other.replace(file)


def test_the_files_of_dino_and_lightning_are_read(tmp_path: Path) -> None:
    import torchvision

    own = torchvision.models.squeezenet1_1().state_dict()
    dino = {
        "student": {f"module.backbone.{name}": tensor + 1 for name, tensor in own.items()},
        "teacher": {f"backbone.{name}": tensor for name, tensor in own.items()},
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": np.float64(0.1)}]},
        "epoch": 9,
        "args": argparse.Namespace(arch="resnet", output_dir=pathlib.Path("x")),
        "dino_loss": {"center": torch.zeros(1, 8)},
    }
    lightning = {
        "state_dict": {f"model.{name}": tensor for name, tensor in own.items()},
        "hyper_parameters": {"optimizer": functools.partial(torch.optim.SGD, lr=0.1), "root": pathlib.Path("x")},
        "callbacks": {"checkpoint": {"best_model_score": torch.zeros(())}},
    }
    for name, content in (("dino.pth", dino), ("lightning.ckpt", lightning)):
        torch.save(content, tmp_path / name)
        backbone = load_backbone("squeezenet1_1", weights=tmp_path / name)
        assert torch.equal(backbone.module.network.features[0].weight, own["features.0.weight"])


def test_nothing_harmless_is_ever_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An inert thing of ours stands for each, so no code of theirs runs, not even of a constructor."""

    def boom(*_: object, **__: object) -> None:
        raise AssertionError("something of the file was run")

    file = saved(tmp_path, [argparse.Namespace(a=1), functools.partial(torch.optim.SGD, lr=1), pathlib.Path("x")])
    for kind in (argparse.Namespace, torch.optim.SGD):
        monkeypatch.setattr(kind, "__init__", boom)
    monkeypatch.setattr(pathlib.Path, "__new__", boom)
    content = load_tensors(io.BytesIO(file.read_bytes()))
    assert [type(thing) for thing in content["beside"]] == [Inert] * 3


def test_an_inert_thing_does_nothing() -> None:
    thing = Inert(1, a=2)
    thing.__setstate__({"a": 1, "__class__": int})
    assert vars(thing) == {}


class Trap:
    """Pickled, it calls something."""

    def __init__(self, call: object, *args: object) -> None:
        self.call, self.args = call, args

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call, self.args


def hostile(trace: Path) -> dict[str, object]:
    """What the list of harmless types could open, if any of it were made or run."""
    touch = f"touch {trace}"
    opened = f"open({str(trace)!r}, 'w')"
    return {
        "posix.system": Trap(os.system, touch),
        "builtins.eval": Trap(eval, opened),
        "builtins.exec": Trap(exec, opened),
        "builtins.getattr": Trap(getattr, str, "format"),
        "builtins.open": Trap(open, str(trace), "w"),
        "builtins.__import__": Trap(__import__, "os"),
        "operator.attrgetter": Trap(__import__("operator").attrgetter, "system"),
        "importlib.import_module": Trap(__import__("importlib").import_module, "os"),
        "subprocess.Popen": Trap(__import__("subprocess").Popen, ["touch", str(trace)]),
        "partial of posix.system": functools.partial(os.system, touch),
        "harmless arguments": argparse.Namespace(run=Trap(os.system, touch)),
        "a call in a path": Trap(pathlib.PosixPath, Trap(os.system, touch)),
        "partial called": Trap(functools.partial(os.system), touch),
        "a subclass": Args(lr=1),
        "an enum of the script": Mode.ON,
        "torch.load": Trap(torch.load, str(trace)),
        "numpy.load": Trap(np.load, str(trace), None, True),
        "numpy.fromfile": Trap(np.fromfile, str(trace)),
        "functools.reduce": Trap(functools.reduce, os.system, [touch]),
        "shutil.rmtree": Trap(shutil.rmtree, str(trace.parent)),
        "a whole network": torch.nn.Sequential(torch.nn.Linear(1, 1)),
    }


@pytest.mark.parametrize("kind", list(hostile(Path("x"))))
def test_whatever_is_not_on_the_list_is_refused_by_name_and_nothing_runs(tmp_path: Path, kind: str) -> None:
    trace = tmp_path / "trace"
    file = saved(tmp_path, hostile(trace)[kind])
    with pytest.raises(
        WeightsError, match=r"net.pth asks for [\w.]+, which is code, and nothing in it was run"
    ) as error:
        read_state(file)
    assert "\n" not in str(error.value)
    assert not trace.exists()
    assert file.exists()
    named = {"a subclass": "Args", "an enum of the script": "Mode", "a whole network": "Sequential"}
    assert named.get(kind, "") in str(error.value)


@pytest.mark.parametrize(
    "code",
    [
        # BUILD on the class instead of an instance of it
        b"cargparse\nNamespace\n}X\x08\x00\x00\x00__init__K\x01sb",
        # a method of an instance, by GLOBAL of a dotted name
        b"cargparse\nNamespace.__init__.__globals__\n.",
        # calling an inert instance as if it were a function
        b"cfunctools\npartial\n)R)R.",
        # items set on an inert instance
        b"cargparse\nNamespace\n)\x81K\x01K\x02s.",
        # a list extended through an inert instance
        b"cargparse\nNamespace\n)\x81(K\x01e.",
        # the builtins under their old name
        b"c__builtin__\neval\nX\x01\x00\x00\x001\x85R.",
        # instructions that torch's reader does not know: INST and OBJ make an instance of any class
        b"(X\x01\x00\x00\x001ios\nsystem\n.",
        b"(cos\nsystem\nX\x01\x00\x00\x001o.",
    ],
)
def test_tricks_of_the_pickle_machine_are_refused(tmp_path: Path, code: bytes) -> None:
    file = saved(tmp_path, None)
    rewrite(file, lambda _: b"\x80\x02" + code)
    with pytest.raises(WeightsError) as error:
        read_state(file)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("protocol", [1, 3, 4, 5])
def test_pickles_of_other_protocols_are_read_or_refused_in_one_line(tmp_path: Path, protocol: int) -> None:
    content = {"state_dict": TENSORS, "args": argparse.Namespace(lr=1)}
    torch.save(content, tmp_path / "net.pth", pickle_protocol=protocol)
    try:
        assert list(read_state(tmp_path / "net.pth")) == ["conv.weight"]
    except WeightsError as error:
        assert "\n" not in str(error)


def test_a_dict_that_holds_itself_ends(tmp_path: Path) -> None:
    content: dict[str, Any] = {"conv.weight": torch.zeros(1)}
    content["again"] = {"inner": content}
    torch.save(content, tmp_path / "loop.pth")
    assert list(read_state(tmp_path / "loop.pth")) == ["conv.weight"]


def test_reading_leaves_torch_s_own_list_as_it_was(tmp_path: Path) -> None:
    before = torch.serialization.get_safe_globals()
    read_state(saved(tmp_path, argparse.Namespace(lr=1)))
    with pytest.raises(WeightsError):
        read_state(saved(tmp_path, Mode.ON))
    assert torch.serialization.get_safe_globals() == before
    with pytest.raises(pickle.UnpicklingError):
        torch.load(saved(tmp_path, argparse.Namespace(lr=1)), weights_only=True)


def test_the_list_is_short_and_names_no_function_that_could_run_anything() -> None:
    assert len(HARMLESS) < 64
    assert not {"getattr", "eval", "exec", "compile", "open", "__import__", "type"} & {
        name.rpartition(".")[2] for name in HARMLESS
    }


def test_bytes_of_a_pickle_turned_over_are_read_or_one_line(tmp_path: Path) -> None:
    whole = bytearray(saved(tmp_path, argparse.Namespace(lr=np.float64(0.1))).read_bytes())
    rng = np.random.default_rng(0)
    start = whole.index(b"data.pkl")
    for place in rng.integers(start, start + 400, 60):
        other = bytearray(whole)
        other[place] ^= int(rng.integers(1, 256))
        (tmp_path / "turned.pth").write_bytes(other)
        try:
            read_state(tmp_path / "turned.pth")
        except WeightsError as error:
            assert "\n" not in str(error)
