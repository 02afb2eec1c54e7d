"""What one image costs a processor, by network: seconds of work of one thread, float32, eager, random weights.

Work is processor time, so that what else ran on the machine counts little; the networks take turns, and the median of
the turns stands. It is the network alone, at the size of the registry, without reading, resizing and heads: good for
saying how many times dearer one is than another. medfeat's own rates
are those of bench_extraction.py and bench_decisions.py.
"""

from __future__ import annotations

import statistics
import time

import machine

# By what the tables of docs/which-backbone.md name; those that share an architecture are measured once.
NETWORKS = (
    *("alexnet", "squeezenet1_1", "efficientnet_lite0", "mobilenetv2_100", "resnet18", "resnet50", "densenet121"),
    *("efficientnet_b4", "vgg16", "dinov2_s", "vit_base", "eva02"),
)
TURNS, BATCH = 5, 2
SMALL = (1, ("squeezenet1_1",))


def seconds_of_work(network, pixels):
    """Processor seconds an image."""
    started = time.process_time()
    network(pixels)
    return (time.process_time() - started) / len(pixels)


def test_what_an_image_costs():
    import torch

    from medfeat.backbones import load_backbone

    turns, names = (TURNS, NETWORKS) if machine.MEASURING else SMALL
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        loaded = {name: load_backbone(name, weights="random") for name in names}
        found = {name: [] for name in names}
        with torch.inference_mode():
            for turn in range(turns + 1):
                for name, one in loaded.items():
                    side = one.info.input_size
                    cost = seconds_of_work(one.module.eval(), torch.zeros(BATCH, 3, side, side))
                    if turn or not machine.MEASURING:  # the first turn warms up
                        found[name].append(cost)
    finally:
        torch.set_num_threads(threads)
    rows = [
        {
            "network": name,
            "side": loaded[name].info.input_size,
            "millions_of_parameters": round(sum(p.numel() for p in loaded[name].module.parameters()) / 1e6, 1),
            "seconds_an_image": round(statistics.median(costs), 4),
            "least": round(min(costs), 4),
            "most": round(max(costs), 4),
        }
        for name, costs in found.items()
    ]
    assert all(row["seconds_an_image"] > 0 for row in rows)
    machine.keep("backbone_cost", {"threads": 1, "batch": BATCH, "turns": turns, "rows": rows})
