"""What is said of weights from a file: what medfeat wrote into it, and nothing that holds for other weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from medfeat.backbones import load_backbone
from medfeat.backbones.backbone_table import BACKBONES
from medfeat.types import BackboneInfo

SMALL = "squeezenet1_1"
NOTHING = ("not known (own weights)", "not known (own weights)", ())
STORY = {"dataset": "tiny", "started_from": {"origin": "pretrained", "pretraining": "ImageNet-1k"}}


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    import torchvision

    torch.manual_seed(3)
    return dict(torchvision.models.squeezenet1_1().state_dict())


@pytest.fixture(autouse=True)
def overlapping() -> Iterator[None]:
    """The published weights of this network have seen ChestMNIST."""
    entry = BACKBONES[SMALL]
    BACKBONES.replace(SMALL, replace(entry, info=replace(entry.info, overlap=("chestmnist",), note="of these weights")))
    yield
    BACKBONES.replace(SMALL, entry)


def loaded(folder: Path, state: dict[str, torch.Tensor], header: dict[str, Any] | None = None) -> BackboneInfo:
    file = folder / "model.safetensors"
    save_file(state, file, metadata={"format": "pt"} | ({} if header is None else {"medfeat": json.dumps(header)}))
    return load_backbone(SMALL, weights=file).info


def said(info: BackboneInfo) -> tuple[str, str, tuple[str, ...]]:
    return info.pretraining, info.licence, info.overlap


def test_of_weights_of_a_file_nothing_is_known_but_the_file(tmp_path, state):
    info = loaded(tmp_path, state)
    assert said(info) == NOTHING and info.note == "" and info.origin == "file"


@pytest.mark.parametrize("header", [{"dataset": "tiny"}, {"dataset": "tiny", "started_from": "x"}, {"known": "x"}])
def test_a_header_of_another_form_says_nothing(tmp_path, state, header):
    assert said(loaded(tmp_path, state, header)) == NOTHING


def test_what_medfeat_wrote_into_the_header_is_known(tmp_path, state):
    known = {"pretraining": "X-rays", "licence": "MIT", "overlap": ["pneumoniamnist"]}
    assert said(loaded(tmp_path, state, {"known": known})) == ("X-rays", "MIT", ("pneumoniamnist",))


def test_a_story_of_a_training_says_what_was_seen(tmp_path, state):
    seen = said(loaded(tmp_path, state, STORY))
    assert seen == ("ImageNet-1k, then tuned by medfeat on tiny", "BSD-3-Clause", ("chestmnist", "tiny"))


def test_a_training_that_began_from_a_file_says_no_more_of_its_start(tmp_path, state):
    story = {"dataset": "tiny", "started_from": {"origin": "file", "pretraining": "ImageNet-1k"}}
    assert said(loaded(tmp_path, state, story)) == (
        f"{NOTHING[0]}, then tuned by medfeat on tiny",
        NOTHING[1],
        ("tiny",),
    )


def test_a_training_that_went_on_from_another_has_seen_the_images_of_both(tmp_path, state):
    further = {"dataset": "other", "started_from": {"origin": "tuned by medfeat", "tuned": STORY}}
    info = loaded(tmp_path, state, further)
    assert info.overlap == ("chestmnist", "tiny", "other")
    assert info.pretraining == "ImageNet-1k, then tuned by medfeat on tiny, then tuned by medfeat on other"
