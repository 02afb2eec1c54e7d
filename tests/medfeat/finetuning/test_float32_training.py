"""Training in float32 stays float32, forwards and backwards, beside a program that set TF32 or bf16 inside of it."""

import subprocess
import sys
from pathlib import Path

import pytest

# In a process of its own: these settings are of the whole program.
PROGRAM = """
import sys, tempfile, torch
from pathlib import Path
import tiny

def trained():
    with tempfile.TemporaryDirectory() as folder:
        training = tiny.training(Path(folder), epochs=1)
        training.run()
        return tiny.values(training.model)

b = torch.backends
KINDS = [b.cuda.matmul, b.cudnn.conv, b.mkldnn.matmul, b.mkldnn.conv]
seen = []
backward = torch.Tensor.backward
def watched(self, *given, **named):
    seen.append({kind.fp32_precision for kind in KINDS})
    return backward(self, *given, **named)
torch.Tensor.backward = watched

plain = trained()
%s
before = [kind.fp32_precision for kind in KINDS]
again = trained()
assert all(torch.equal(plain[name], again[name]) for name in plain)
assert seen and all(kinds == {"ieee"} for kinds in seen), seen
assert [kind.fp32_precision for kind in KINDS] == before
"""


@pytest.mark.parametrize(
    "host", ["", "b.fp32_precision = 'tf32'", "torch.set_float32_matmul_precision('medium')",
             "b.mkldnn.fp32_precision = 'bf16'"]
)  # fmt: skip
def test_weights_are_the_same_and_the_program_keeps_its_settings(host):
    beside = str(Path(__file__).parent)
    program = f"import sys; sys.path.insert(0, {beside!r})" + PROGRAM % host
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
