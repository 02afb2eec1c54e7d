"""Files that hold a network more than once: which is read is one rule, and it is said."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from medfeat.backbones import join_part, load_backbone, split_part
from medfeat.backbones.weights.network_in_file import without_twins
from medfeat.errors import UsageError, WeightsError

State = dict[str, torch.Tensor]
NAME = "squeezenet1_1"


def network(seed: int) -> State:
    import torchvision

    torch.manual_seed(seed)
    return dict(torchvision.models.squeezenet1_1().state_dict())


@pytest.fixture(scope="module")
def one() -> State:
    return network(1)


@pytest.fixture(scope="module")
def other() -> State:
    return network(2)


def under(prefix: str, state: Mapping[str, torch.Tensor]) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def first(file: str | Path) -> tuple[torch.Tensor, str]:
    backbone = load_backbone(NAME, weights=file)
    lines = [line for line in backbone.reported if not line.startswith("classifier")]
    return backbone.module.network.features[0].weight, "\n".join(lines)


@pytest.mark.parametrize(
    ("read", "left"),
    [
        ("teacher.backbone.", "student.backbone."),
        ("teacher.", "student.module."),
        ("backbone.", "momentum_backbone."),
        ("backbone.", "backbone_momentum."),
        ("base_encoder.", "momentum_encoder."),
        ("module.encoder_q.", "module.encoder_k."),
        ("model.", "model_ema.module."),
        ("model.", "ema."),
        ("state_dict.", "state_dict_ema."),
        ("teacher_model.", "student_model."),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_a_convention_decides_and_is_said(
    tmp_path: Path, one: State, other: State, read: str, left: str, nested: bool
) -> None:
    parts = {left: other, read: one}  # the one that is left first, so that the order of the file is no help
    content: dict[str, State] = {}
    if nested:
        for key, state in parts.items():
            content.setdefault(key.partition(".")[0], {}).update(under(key.partition(".")[2], state))
    else:
        content = {"state_dict": under(left, other) | under(read, one)}
    torch.save(content, tmp_path / "two.pth")
    weight, said = first(tmp_path / "two.pth")
    assert torch.equal(weight, one["features.0.weight"])
    assert read.rstrip(".") in said and left.rstrip(".") in said


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("online.", "target."),
        ("online_network.encoder.", "target_network.encoder."),
        ("encoder1.", "encoder2."),
        ("model.", "teacher."),
        ("", "target."),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_where_no_convention_says_which_both_are_named(
    tmp_path: Path, one: State, other: State, a: str, b: str, swapped: bool
) -> None:
    file = tmp_path / "two.pth"
    states = [under(a, one), under(b, other)]
    torch.save(
        {name: tensor for state in (states[::-1] if swapped else states) for name, tensor in state.items()}, file
    )
    with pytest.raises(WeightsError, match=r"two.pth holds SqueezeNet 2 times, with other values, under ") as error:
        load_backbone(NAME, weights=file)
    shown = [repr(prefix.rstrip(".")) if prefix else "no prefix" for prefix in (a, b)]
    assert all(name in str(error.value) for name in (*shown, f"--weights {file}::"))
    assert "\n" not in str(error.value)
    for prefix, state in ((a, one), (b, other)):
        weight, said = first(f"{file}::{prefix.rstrip('.') or '.'}")
        assert torch.equal(weight, state["features.0.weight"])
        assert repr(prefix.rstrip(".") or ".") in said


def test_the_other_one_is_read_when_it_is_named(tmp_path: Path, one: State, other: State) -> None:
    file = tmp_path / "dino.pth"
    torch.save({"student": under("module.backbone.", other), "teacher": under("backbone.", one)}, file)
    for part in ("student", "student.module.backbone", "module.backbone", "student."):
        assert torch.equal(first(f"{file}::{part}")[0], other["features.0.weight"])
    assert torch.equal(first(Path(f"{file}::teacher"))[0], one["features.0.weight"])


def test_a_part_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path, one: State) -> None:
    torch.save({"teacher": under("backbone.", one)}, tmp_path / "dino.pth")
    with pytest.raises(WeightsError, match=r"no tensors under 'student': its parts are teacher.backbone"):
        load_backbone(NAME, weights=f"{tmp_path}/dino.pth::student")
    with pytest.raises(UsageError, match="names no part"):
        load_backbone(NAME, weights=f"{tmp_path}/dino.pth::")


def test_a_part_in_several_places_is_refused_with_them(tmp_path: Path, one: State, other: State) -> None:
    torch.save({"a": under("backbone.", one), "b": under("backbone.", other)}, tmp_path / "two.pth")
    with pytest.raises(WeightsError, match=r"'backbone' in several places: name one of a.backbone, b.backbone"):
        load_backbone(NAME, weights=f"{tmp_path}/two.pth::backbone")


def test_equal_values_are_one_network(tmp_path: Path, one: State) -> None:
    torch.save(under("online.", one) | under("target.", one), tmp_path / "tied.pth")
    weight, said = first(tmp_path / "tied.pth")
    assert torch.equal(weight, one["features.0.weight"])
    assert "'online'" in said


def test_the_one_of_the_right_shape_is_meant(tmp_path: Path, one: State, other: State) -> None:
    wide = {name: tensor.repeat(2, *[1] * (tensor.ndim - 1)) for name, tensor in other.items()}
    torch.save(under("encoder1.", wide) | under("encoder2.", one), tmp_path / "two.pth")
    assert torch.equal(first(tmp_path / "two.pth")[0], one["features.0.weight"])


@pytest.mark.parametrize("prefix", ["teacher.", "student.backbone.", "encoder.", "ema."])
def test_the_only_network_of_a_file_is_read_whatever_it_is_called_and_its_name_is_said(
    tmp_path: Path, one: State, prefix: str
) -> None:
    torch.save(under(prefix, one), tmp_path / "one.pth")
    weight, said = first(tmp_path / "one.pth")
    assert torch.equal(weight, one["features.0.weight"])
    assert said == f"weights under {prefix.rstrip('.')!r} were read"


@pytest.mark.parametrize("prefix", ["", "module.", "state_dict.model.", "backbone."])
def test_a_mere_wrapper_is_not_worth_a_word(tmp_path: Path, one: State, prefix: str) -> None:
    torch.save(under(prefix, one), tmp_path / "one.pth")
    assert first(tmp_path / "one.pth")[1] == ""


def test_names_of_another_library_are_no_way_around_the_rule(tmp_path: Path) -> None:
    """ConvNeXt in its authors' names, beside its average: timm renames them, and none of them is found before."""
    import timm

    from tests.medfeat.backbones.test_checkpoints import of_the_authors

    torch.manual_seed(0)
    nets = [timm.create_model("convnext_atto").state_dict() for _ in range(2)]
    last, average = ({of_the_authors(name): tensor for name, tensor in state.items()} for state in nets)
    torch.save({"model_ema": average, "model": last}, tmp_path / "convnext.pth")
    backbone = load_backbone("timm:convnext_atto", weights=tmp_path / "convnext.pth")
    assert torch.equal(backbone.module.network.stem[0].weight, nets[0]["stem.0.weight"])
    assert any("'model' were read, not those under 'model_ema'" in line for line in backbone.reported)
    torch.save({"net": average, "weights": last}, tmp_path / "two.pth")
    with pytest.raises(WeightsError, match=r"2 times, with other values, under 'net' and 'weights'"):
        load_backbone("timm:convnext_atto", weights=tmp_path / "two.pth")


@pytest.mark.parametrize(("shared", "alike"), [(19, True), (18, False), (16, False)])
def test_under_foreign_names_more_than_nine_tenths_alike_are_the_same_network(shared: int, alike: bool) -> None:
    """Twenty tensors each: a head, or an optimizer's moments, may differ; two networks of one file may share much."""
    parts = {"student": range(20), "teacher": range(20 - shared, 40 - shared)}
    state = {f"{key}.n{i}": torch.full((1,), len(key) + i) for key, numbers in parts.items() for i in numbers}
    left, said = without_twins(state, {"weight": torch.zeros(1)}, "two.pth", "a net")
    assert left == ({name: state[name] for name in state if name.startswith("teacher.")} if alike else state)
    assert bool(said) == alike


def test_a_model_of_transformers_follows_the_same_rule(tmp_path: Path) -> None:
    import transformers

    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=32, patch_size=8
    )
    torch.manual_seed(0)
    one, other = (transformers.ViTModel(config, add_pooling_layer=False) for _ in range(2))
    one.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "preprocessor_config.json").write_text('{"size": 32, "image_mean": [0.5, 0.5, 0.5]}')
    file = tmp_path / "pytorch_model.bin"
    load = {"weights": tmp_path, "offline": True}
    torch.save({"student": other.state_dict(), "teacher": under("vit.", one.state_dict())}, file)
    backbone = load_backbone("hf:clinic/mine", **load)
    key = "embeddings.cls_token"
    assert torch.equal(backbone.module.network.state_dict()[key], one.state_dict()[key])
    assert any("'teacher.vit'" in line and "'student'" in line for line in backbone.reported)
    torch.save(under("encoder1.", other.state_dict()) | under("encoder2.vit.", one.state_dict()), file)
    with pytest.raises(WeightsError, match=r"under 'encoder1' and 'encoder2.vit'"):
        load_backbone("hf:clinic/mine", **load)
    chosen = load_backbone("hf:clinic/mine", weights=f"{tmp_path}::encoder2", offline=True)
    assert torch.equal(chosen.module.network.state_dict()[key], one.state_dict()[key])


def test_the_order_of_python_s_sets_decides_nothing(tmp_path: Path, one: State, other: State) -> None:
    file = tmp_path / "two.pth"
    torch.save({"state_dict": under("student.backbone.", other) | under("teacher.backbone.", one)}, file)
    code = f"from medfeat.backbones import load_backbone as l; print(l({NAME!r}, weights={str(file)!r}).reported)"
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "3")
    }
    assert len(said) == 1
    assert "teacher.backbone" in said.pop()


@pytest.mark.parametrize(
    ("text", "file", "part"),
    [
        ("a.pth", "a.pth", ""),
        ("a.pth::teacher", "a.pth", "teacher"),
        ("a/b.pth::teacher.backbone.", "a/b.pth", "teacher.backbone"),
        ("a.pth::.", "a.pth", "."),
        ("random", "random", ""),
    ],
)
def test_a_part_is_spelled_behind_two_colons(text: str, file: str, part: str) -> None:
    assert split_part(text) == (Path(file), part)
    assert split_part(join_part(file, part)) == (Path(file), part)


def test_a_file_that_has_colons_in_its_name_is_itself(tmp_path: Path, one: State) -> None:
    torch.save(one, tmp_path / "a::b.pth")
    assert torch.equal(first(tmp_path / "a::b.pth")[0], one["features.0.weight"])
