"""Float32 stays float32 beside a program that set TF32 or bf16, by torch's older settings or its newer ones."""

from __future__ import annotations

import subprocess
import sys

import pytest

BY_OTHERS = {
    "nothing": "",
    "older, matmul": "torch.set_float32_matmul_precision('medium')",
    "older, cudnn": "torch.backends.cudnn.allow_tf32 = False",
    "newer, everything": "torch.backends.fp32_precision = 'tf32'",
    "newer, strict": "torch.backends.fp32_precision = 'ieee'",
    "newer, one kind": "torch.backends.cuda.matmul.fp32_precision = 'tf32'",
    "newer, oneDNN": "torch.backends.mkldnn.fp32_precision = 'bf16'",
}
# In a process of its own: these settings are of the whole program.
PROGRAM = """
import numpy as np, torch
from medfeat.backbones import load_backbone
from medfeat.float32 import full_float32
from medfeat.extraction.network.forward import Forward

b = torch.backends
KINDS = [b, b.cuda.matmul, b.cudnn, b.cudnn.conv, b.mkldnn, b.mkldnn.matmul, b.mkldnn.conv]
images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)

def embedded():
    network = load_backbone("squeezenet1_1", weights="random")
    return Forward(network, fit="whole", device=torch.device("cpu"), precision="fp32", batch_size=4)(images)[0]

plain = embedded()
{set_by_others}
before = [kind.fp32_precision for kind in KINDS]
with full_float32():
    inside = [kind.fp32_precision for kind in (b.cuda.matmul, b.cudnn.conv, b.mkldnn.matmul, b.mkldnn.conv)]
    assert inside == ["ieee"] * 4
assert np.array_equal(embedded(), plain)
assert [kind.fp32_precision for kind in KINDS] == before
b.fp32_precision = "ieee"  # what was inherited is inherited again
follows = {follows}
assert not follows or {{kind.fp32_precision for kind in KINDS}} == {{"ieee"}}
"""


@pytest.mark.parametrize("case", BY_OTHERS)
def test_rows_are_the_same_and_the_program_keeps_its_settings(case):
    program = PROGRAM.format(set_by_others=BY_OTHERS[case], follows=case == "newer, everything")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
