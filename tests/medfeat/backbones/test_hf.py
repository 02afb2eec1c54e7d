"""Any repository of Hugging Face, from its cache."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from medfeat.backbones import describe, load_backbone, readiness
from medfeat.backbones.libraries.hf_processing import read_processing
from medfeat.errors import DataError, MissingFileError, UsageError, WeightsError
from medfeat.types import View

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_a_cached_repository_is_described_by_its_own_files(repository: Path) -> None:
    info = describe("hf:clinic/tiny")
    assert (info.name, info.input_size, info.resize, info.squash) == ("hf:clinic/tiny", 56, 64, False)
    assert (info.mean, info.std, info.interpolation) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bicubic")


def test_loading_resolves_the_revision_and_skips_register_tokens(repository: Path) -> None:
    backbone = load_backbone(
        "hf:clinic/tiny", offline=True, views=[View(), View(pool="tokens"), View("encoder.layer.0", "cls")]
    )
    assert backbone.info.source_id == f"clinic/tiny@{COMMIT}"
    assert backbone.views[0].pool == "cls"
    with torch.inference_mode():
        first, patches, early = backbone.module(torch.randn(2, 3, 56, 56))
    assert (first.shape, patches.shape, early.shape) == ((2, 24), (2, 16, 24), (2, 24))


def test_a_folder_of_one_s_own_is_weights_and_configuration(repository: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    repository.rename(own)
    backbone = load_backbone("hf:clinic/mine", weights=own, offline=True)
    assert backbone.info.origin == "file"
    assert backbone.dims == (24,)


def change(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_a_folder_is_identified_by_its_configuration(repository: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    repository.rename(own)

    def loaded() -> tuple[str, str]:
        info = load_backbone("hf:clinic/mine", weights=own, offline=True).info
        return info.weights_digest, info.source_id

    weights, first = loaded()
    assert first.startswith("clinic/mine@config:")
    change(own / "config.json", transformers_version="0.0.1", _name_or_path="/elsewhere")
    assert loaded() == (weights, first)
    change(own / "config.json", num_attention_heads=4)
    assert loaded()[0] == weights
    assert loaded()[1] != first


def test_a_copy_of_a_folder_is_the_same_backbone(repository: Path, tmp_path: Path) -> None:
    copies = [shutil.copytree(repository, tmp_path / name) for name in ("one", "two")]
    ids = {load_backbone("hf:clinic/mine", weights=copy, offline=True).info.source_id for copy in copies}
    assert len(ids) == 1


def cut(folder: Path) -> list[Path]:
    """Save the weights of a folder anew, in several files with an index."""
    whole = folder / "model.safetensors"
    transformers.AutoModel.from_pretrained(folder).save_pretrained(folder, max_shard_size="20KB")
    whole.unlink()
    return sorted(folder.glob("model-*.safetensors"))


def test_a_checkpoint_cut_into_files_is_the_same_backbone(repository: Path, tmp_path: Path) -> None:
    whole = load_backbone("hf:clinic/tiny", offline=True).info
    assert len(cut(repository)) > 1
    assert load_backbone("hf:clinic/tiny", offline=True).info == whole
    assert readiness("hf:clinic/tiny")[0]
    own = shutil.copytree(repository, tmp_path / "own")
    assert load_backbone("hf:clinic/mine", weights=own, offline=True).info.weights_digest == whole.weights_digest


def test_a_missing_piece_of_a_checkpoint_is_named(repository: Path, tmp_path: Path) -> None:
    piece = cut(repository)[1]
    own = shutil.copytree(repository, tmp_path / "own")
    piece.unlink()
    (own / piece.name).unlink()
    for name, weights in (("hf:clinic/tiny", None), ("hf:clinic/mine", own)):
        with pytest.raises(MissingFileError, match=piece.name):
            load_backbone(name, weights=weights, offline=True)
    assert not readiness("hf:clinic/tiny")[0]


@pytest.mark.parametrize(
    "index",
    [
        b"{",
        b"[]",
        b'{"weight_map": {}}',
        b'{"weight_map": {"a": "../model.safetensors"}}',
        b'{"weight_map": {"a": 3}}',
        b'{"weight_map": {"a": ".."}}',
    ],
)
def test_an_index_that_names_no_files_beside_it_is_refused(repository: Path, index: bytes) -> None:
    for piece in cut(repository):
        piece.unlink()
    (repository / "model.safetensors.index.json").write_bytes(index)
    with pytest.raises(WeightsError, match="index") as error:
        load_backbone("hf:clinic/tiny", offline=True)
    assert "\n" not in str(error.value)


def test_an_index_alone_is_not_given_as_weights(repository: Path) -> None:
    cut(repository)
    with pytest.raises(UsageError, match="give --weights the folder"):
        load_backbone("hf:clinic/tiny", weights=repository / "model.safetensors.index.json", offline=True)


def test_a_folder_of_other_weights_is_refused(repository: Path) -> None:
    with pytest.raises(WeightsError, match="does not fit Dinov2Model"):
        load_backbone("rad_dino", weights=repository)


def test_a_repository_that_is_not_here_has_a_name_and_no_more() -> None:
    info = describe("hf:clinic/unknown")
    assert (info.name, info.source_id) == ("hf:clinic/unknown", "clinic/unknown")
    with pytest.raises(MissingFileError, match=r"https://huggingface.co/clinic/unknown"):
        load_backbone("hf:clinic/unknown", offline=True)


def test_code_of_a_repository_is_not_run_unless_asked(repository: Path) -> None:
    trace = repository / "ran"
    (repository / "code.py").write_text(f"open({str(trace)!r}, 'w')")
    config = json.loads((repository / "config.json").read_text())
    config |= {"model_type": "homemade", "auto_map": {"AutoConfig": "code.Config", "AutoModel": "code.Model"}}
    (repository / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="trust_remote_code") as error:
        load_backbone("hf:clinic/tiny", offline=True)
    assert "\n" not in str(error.value)
    assert not trace.exists()


def test_code_that_is_trusted_comes_from_the_commit_and_offline_from_the_cache_only(
    homemade: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import dynamic_module_utils

    asked: list[tuple[bool, str]] = []
    found = dynamic_module_utils.cached_file

    def spy(*args: Any, **options: Any) -> Any:
        asked.append((options["local_files_only"], str(options["revision"])))
        return found(*args, **options)

    monkeypatch.setattr(dynamic_module_utils, "cached_file", spy)
    # what the environment forbids anyway would prove nothing
    monkeypatch.setattr(dynamic_module_utils, "is_offline_mode", lambda: False)
    backbone = load_backbone("hf:clinic/tiny", offline=True, trust_remote_code=True)
    assert backbone.dims == (5,)
    assert set(asked) == {(True, COMMIT)}


def test_changed_code_in_a_folder_is_another_backbone(homemade: Path, tmp_path: Path) -> None:
    own = shutil.copytree(homemade, tmp_path / "own")
    ids = []
    code = (own / "code.py").read_text()
    for changed in (code, code.replace("self.mix(pixel_values)", "self.mix(pixel_values).relu()")):
        (own / "code.py").write_text(changed)
        info = load_backbone("hf:clinic/mine", weights=own, offline=True, trust_remote_code=True).info
        ids.append(info.source_id)
    assert ids[0] != ids[1]


@pytest.mark.parametrize(
    "name",
    [
        "foo bar/baz",
        "a/..",
        "../b",
        "a--b/c",
        "noslash",
        "a/b/c",
        "a/b\nc",
        "a/b@",
        "a/b@../../x",
        "a/b@x y",
        "@",
        "a/b.git",
    ],
)
def test_a_name_no_repository_can_have_is_refused_in_one_line(name: str) -> None:
    for ask in (describe, readiness, lambda name: load_backbone(name, offline=True)):
        with pytest.raises(UsageError, match="must be named hf:OWNER/REPO") as error:
            ask(f"hf:{name}")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
@pytest.mark.parametrize("content", [b"{not json", b"", b"\xff\xfe", b"[1, 2]", b"null"])
def test_a_damaged_configuration_is_said_in_one_line(repository: Path, name: str, content: bytes) -> None:
    (repository / name).write_bytes(content)
    for ask in (describe, lambda name: load_backbone(name, offline=True)):
        with pytest.raises(DataError, match=f"{name} .*: get it again") as error:
            ask("hf:clinic/tiny")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "values",
    [
        {"size": "large"},
        {"size": {"height": None, "width": []}, "crop_size": {"edge": 3}},
        {"image_mean": 0.5},
        {"image_mean": [0.5]},
        {"image_std": [0, 0, 0]},
        {"resample": "cubic"},
        {"size": -1, "do_center_crop": False},
    ],
)
def test_a_processor_that_makes_no_sense_is_said_in_one_line(repository: Path, values: dict[str, object]) -> None:
    change(repository / "preprocessor_config.json", **values)
    with pytest.raises(DataError, match="does not say how images are prepared"):
        describe("hf:clinic/tiny")


@pytest.mark.parametrize(
    "values",
    [{"hidden_size": "wide"}, {"num_attention_heads": 0}, {"model_type": "unheard-of"}],
)
def test_a_network_that_cannot_be_built_is_said_in_one_line(repository: Path, values: dict[str, object]) -> None:
    change(repository / "config.json", **values)
    with pytest.raises(UsageError, match="hf:clinic/tiny cannot be built by transformers") as error:
        load_backbone("hf:clinic/tiny", offline=True)
    assert "\n" not in str(error.value)


def test_a_model_of_sound_is_refused(repository: Path) -> None:
    from transformers import Wav2Vec2Config

    config = Wav2Vec2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    (repository / "config.json").write_text(json.dumps(config.to_dict()))
    with pytest.raises(UsageError, match="takes no images"):
        load_backbone("hf:clinic/tiny", offline=True)


@pytest.mark.parametrize(
    ("content", "size", "resize", "squash"),
    [
        ({"size": {"height": 384, "width": 384}}, 384, 384, True),
        ({"size": 224, "do_center_crop": False}, 224, 224, True),
        ({"size": 256, "do_center_crop": True, "crop_size": 224}, 224, 256, False),
        (
            {"size": {"shortest_edge": 518}, "do_center_crop": True, "crop_size": {"height": 518, "width": 518}},
            518,
            518,
            False,
        ),
    ],
)
def test_image_processors_of_every_age_are_understood(
    content: dict[str, object], size: int, resize: int, squash: bool
) -> None:
    processing = read_processing(content, 224)
    assert (processing.size, processing.resize, processing.squash) == (size, resize, squash)
