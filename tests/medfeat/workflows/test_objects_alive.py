"""What was embedded of a dataset that a program holds is read again while it holds it, and one line says when not."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import medfeat
from medfeat.errors import UsageError
from medfeat.workflows.robustness import robustness

from .embedded import QUICK, extracted

IMAGES = np.random.default_rng(3).integers(0, 256, (60, 16, 16), np.uint8)


def held():
    return medfeat.dataset_from(IMAGES, name="held", labels=np.arange(60) % 2)


@pytest.mark.parametrize("name", [None, "renamed"])
def test_images_that_the_program_still_holds_are_read_again(counting, cache_root, name):
    kept = held()
    extracted(cache_root, kept, name=name)
    report = medfeat.audit(name or "held", "counting", cache_dir=cache_root, device="cpu", **QUICK)
    assert report.dataset == (name or "held") and report.embedded
    assert robustness(name or "held", "counting", cache_dir=cache_root, device="cpu", **QUICK).found
    assert kept.info.name == "held"


def test_images_that_nobody_holds_are_said_to_be_gone_without_a_class_or_a_loss(counting, cache_root):
    kept = held()
    extracted(cache_root, kept)
    del kept
    gc.collect()
    with pytest.raises(UsageError, match="nothing in this program holds them now: make held") as caught:
        robustness("held", "counting", cache_dir=cache_root, device="cpu", **QUICK)
    assert "medfeat.datasets" not in str(caught.value) and "remove" not in str(caught.value)
    again = held()  # as they were given: found by what they are
    assert robustness("held", "counting", cache_dir=cache_root, device="cpu", **QUICK).found
    assert again is not None
