"""Weights from files, hubs and seeds."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from medfeat.backbones import describe, load_backbone, readiness, weights_digest
from medfeat.backbones.libraries import from_torchvision
from medfeat.backbones.weights.hub import file_of_url
from medfeat.errors import DataError, MissingFileError, UsageError, WeightsError
from mirror import CountedBytes, Mirror


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """SqueezeNet's own state dict, classifier and all."""
    import torchvision

    torch.manual_seed(3)
    return dict(torchvision.models.squeezenet1_1().state_dict())


@pytest.fixture(scope="module")
def digest(state: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("weights") / "plain.pth"
    torch.save(state, file)
    return load_backbone("squeezenet1_1", weights=file).info.weights_digest


def prefixed(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state", "teacher"])
@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "model.", "module.backbone."])
def test_wrapped_and_prefixed_checkpoints_are_understood(
    state: dict[str, torch.Tensor], digest: str, tmp_path: Path, wrapper: str, prefix: str
) -> None:
    torch.save({wrapper: prefixed(state, prefix), "epoch": 3, "args": {"lr": 0.1}}, tmp_path / "wrapped.pth")
    backbone = load_backbone("squeezenet1_1", weights=tmp_path / "wrapped.pth")
    assert backbone.info.weights_digest == digest
    assert backbone.info.origin == "file"


def test_a_safetensors_file_and_a_folder_hold_the_same_weights(
    state: dict[str, torch.Tensor], digest: str, tmp_path: Path
) -> None:
    save_file(state, tmp_path / "model.safetensors")
    assert load_backbone("squeezenet1_1", weights=tmp_path / "model.safetensors").info.weights_digest == digest
    assert load_backbone("squeezenet1_1", weights=tmp_path).info.weights_digest == digest


def test_half_precision_files_are_run_in_float32(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save({name: tensor.half() for name, tensor in state.items()}, tmp_path / "half.pth")
    backbone = load_backbone("squeezenet1_1", weights=tmp_path / "half.pth")
    assert {tensor.dtype for tensor in backbone.module.state_dict().values()} == {torch.float32}


def test_a_classifier_of_other_classes_is_ignored_and_reported(
    state: dict[str, torch.Tensor], digest: str, tmp_path: Path
) -> None:
    head = {"classifier.1.weight": torch.zeros(7, 512, 1, 1), "classifier.1.bias": torch.zeros(7)}
    torch.save(state | head, tmp_path / "seven.pth")
    backbone = load_backbone("squeezenet1_1", weights=tmp_path / "seven.pth")
    assert "classifier classifier.1.weight (7, 512, 1, 1) was ignored" in backbone.reported
    assert backbone.info.weights_digest == digest


def test_weights_of_another_network_are_refused_with_what_does_not_fit(tmp_path: Path) -> None:
    import torchvision

    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "resnet.pth")
    with pytest.raises(
        WeightsError, match=r"does not fit SqueezeNet: \d+ missing \(features.0.weight.*unexpected"
    ) as error:
        load_backbone("squeezenet1_1", weights=tmp_path / "resnet.pth")
    assert "\n" not in str(error.value)


def test_weights_of_another_width_are_refused_with_their_shapes(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save(state | {"features.0.weight": torch.zeros(64, 1, 3, 3)}, tmp_path / "grey.pth")
    with pytest.raises(WeightsError, match=r"1 of another shape \(features.0.weight is \(64, 1, 3, 3\) instead of"):
        load_backbone("squeezenet1_1", weights=tmp_path / "grey.pth")


def test_a_missing_tensor_is_never_left_random(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save({k: v for k, v in state.items() if k != "features.3.squeeze.bias"}, tmp_path / "holed.pth")
    with pytest.raises(WeightsError, match=r"1 missing \(features.3.squeeze.bias\)"):
        load_backbone("squeezenet1_1", weights=tmp_path / "holed.pth")


class Trap:
    """Unpickling it would leave a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_a_file_with_code_in_it_is_refused_by_name_and_nothing_runs(tmp_path: Path, kind: str) -> None:
    file, trace = tmp_path / "trap.pth", tmp_path / "trace"
    if kind == "pickle":
        file.write_bytes(pickle.dumps({"state_dict": Trap(trace)}))
    else:
        torch.save({"state_dict": Trap(trace)}, file)
    with pytest.raises(WeightsError, match=r"trap.pth .*nothing in it was run") as error:
        load_backbone("squeezenet1_1", weights=file)
    assert kind == "pickle" or "asks for posix.system" in str(error.value)
    assert "\n" not in str(error.value)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.pth", b""),
        ("text.pth", b"not weights"),
        ("cut.pth", b"PK\x03\x04abc"),
        ("bad.safetensors", b"\xff" * 64),
    ],
)
def test_a_damaged_file_is_one_clear_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=name) as error:
        load_backbone("squeezenet1_1", weights=tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "none.pth")
    with pytest.raises(WeightsError, match="no named tensors"):
        load_backbone("squeezenet1_1", weights=tmp_path / "none.pth")


def test_a_path_to_nothing_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"nowhere.pth is not there"):
        load_backbone("squeezenet1_1", weights=tmp_path / "nowhere.pth")
    with pytest.raises(MissingFileError, match="holds no weights"):
        load_backbone("squeezenet1_1", weights=tmp_path)


def test_weights_that_are_no_file_are_called_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "zero.pth").symlink_to("/dev/zero")
    with pytest.raises(WeightsError, match=r"zero.pth is a device, not a file: it was not opened"):
        load_backbone("squeezenet1_1", weights=tmp_path / "zero.pth")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("resnet18", ["resnet18-f37072fd.pth", "https://download.pytorch.org/models/", "--weights FILE"]),
        ("dino", ["model.safetensors", "https://huggingface.co/timm/vit_base_patch16_224.dino", "--weights FILE"]),
        ("beit", ["https://huggingface.co/microsoft/beit-base-patch16-224", "--weights FILE"]),
        ("hf:facebook/dinov2-small", ["config.json", "https://huggingface.co/facebook/dinov2-small"]),
    ],
)
def test_offline_says_what_to_get_from_where(name: str, parts: list[str]) -> None:
    with pytest.raises(MissingFileError) as error:
        load_backbone(name, offline=True)
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)
    assert readiness(name) == (False, str(error.value))


@pytest.fixture
def served(tmp_path, monkeypatch, state, mirror) -> Mirror:
    """SqueezeNet's weights on the loopback, and nothing in torch's cache."""
    content = io.BytesIO()
    torch.save(state, content)
    mirror.content = content.getvalue()
    mirror.url = mirror.url.replace("file.npz", f"squeezenet1_1-{mirror.sha256[:8]}.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(from_torchvision, "file_of_url", lambda _, **options: file_of_url(mirror.url, **options))
    return mirror


def test_weights_whose_download_is_cut_off_go_on_where_they_stopped(tmp_path: Path, served: Mirror, digest: str):
    progress = CountedBytes()
    served.cut_after = [200_000, 200_000, 200_000]
    with pytest.raises(MissingFileError, match=r"600000 of \d+ bytes.*go on where it stopped.*--weights FILE") as error:
        load_backbone("squeezenet1_1", progress=progress)
    assert "\n" not in str(error.value)
    assert progress.seen["done"] == 600_000
    assert load_backbone("squeezenet1_1", progress=progress).info.weights_digest == digest
    assert served.requests[-1] == "bytes=600000-"
    assert progress.seen["done"] == progress.seen["total"] == len(served.content)
    assert [file.suffix for file in tmp_path.rglob("*") if file.is_file()] == [".pth"]


def test_a_download_with_the_wrong_digest_never_passes_for_weights(tmp_path: Path, served: Mirror):
    served.served = [b"something else"]
    with pytest.raises(DataError, match="gave a file of SHA-256") as error:
        load_backbone("squeezenet1_1")
    assert served.sha256[:8] in str(error.value) and "\n" not in str(error.value)
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_a_failed_download_is_one_line_and_leaves_nothing(tmp_path: Path, served: Mirror):
    served.status = 503
    with pytest.raises(MissingFileError, match=r"Service Unavailable.*--weights FILE") as error:
        load_backbone("squeezenet1_1")
    assert "\n" not in str(error.value)
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_weights_in_torch_s_own_cache_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: dict[str, torch.Tensor], digest: str
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "hub" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth"
    place.parent.mkdir(parents=True)
    torch.save(state, place)
    backbone = load_backbone("squeezenet1_1", offline=True)
    assert (backbone.info.origin, backbone.info.weights_digest) == ("pretrained", digest)
    assert readiness("squeezenet1_1") == (True, str(place))


def test_random_weights_are_called_random_and_follow_the_seed() -> None:
    first, same, other = (load_backbone("squeezenet1_1", weights="random", seed=seed) for seed in (0, 0, 1))
    assert first.info.weights_digest == same.info.weights_digest != other.info.weights_digest
    assert (first.info.name, other.info.name) == ("squeezenet1_1-random0", "squeezenet1_1-random1")
    assert first.info.origin == "random"
    assert "random" in first.info.pretraining
    assert first.info.source_id == describe("squeezenet1_1").source_id


def test_random_weights_leave_the_caller_s_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    load_backbone("squeezenet1_1", weights="random", seed=9)
    assert torch.equal(torch.rand(1), expected)


def test_the_digest_sees_every_tensor_and_no_layout() -> None:
    network = load_backbone("resnet18", weights="random").module
    before = weights_digest(network)
    assert weights_digest(network.to(memory_format=torch.channels_last)) == before
    with torch.no_grad():
        network.network.layer1[0].bn1.running_var[3] += 1e-3
    assert weights_digest(network) != before


def test_backbones_without_weights_take_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no weights to replace"):
        load_backbone("pixels", weights="random")


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("squeezenet1_1", "squeezenet1_1_torchvision_fp16src.pth"),
        ("mobilenetv2_100", "mobilenet_v2_tf2ptq_timm.pth"),
    ],
)
def test_the_real_weights_load_strictly(real_data: Path, name: str, file: str) -> None:
    backbone = load_backbone(name, weights=real_data / file)
    assert all(line.startswith("classifier") for line in backbone.reported)


@pytest.mark.realdata
def test_the_real_weights_of_one_network_are_refused_by_another(real_data: Path) -> None:
    with pytest.raises(WeightsError, match="does not fit EfficientNet"):
        load_backbone("mobilenetv2_100", weights=real_data / "squeezenet1_1_torchvision_fp16src.pth")
