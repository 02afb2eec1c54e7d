"""The demo takes pretrained weights where some are on the machine, and says so where it goes without."""

from __future__ import annotations

import pytest

from medfeat.workflows import demo


@pytest.mark.parametrize(
    ("here", "network", "weights"),
    [
        ({"efficientnet_lite0", "squeezenet1_1"}, "efficientnet_lite0", None),
        ({"squeezenet1_1"}, "squeezenet1_1", None),
        (set(), "squeezenet1_1", "random"),
    ],
)
def test_the_deep_network_is_the_first_whose_weights_are_here(monkeypatch, here, network, weights):
    monkeypatch.setattr(demo, "readiness", lambda name: (name in here, "somewhere"))
    name, how, notes = demo._deep_network()
    assert (name, how) == (network, weights)
    assert bool(notes) == (weights == "random")
    assert all("random" in line and "pip install 'medfeat[lite]'" in line and "\n" not in line for line in notes)
