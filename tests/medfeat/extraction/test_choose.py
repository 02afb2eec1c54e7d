"""Settings come from measurements: half precision only where it agrees, compiling only where it pays."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from medfeat.extraction.measure import batch_size, choose, half_precision, sample
from medfeat.extraction.measure.choose import Chooser
from medfeat.extraction.network.forward import Finished
from medfeat.types import SilentProgress

CPU = torch.device("cpu")


class Network:
    """A network that is as fast, as exact and as hungry as a test wants; time is what it says it is."""

    def __init__(self, clock, seconds, noise=0.0, batch_size=32, largest=None):
        self.clock, self.seconds, self.noise = clock, seconds, noise
        self.batch_size, self.pass_size, self.largest = batch_size, batch_size, largest
        self.device, self.module, self.backoff = CPU, torch.nn.Linear(1, 1), []

    def __call__(self, images):
        return self.submit(images).result()

    def submit(self, images):
        if self.largest is not None and len(images) > self.largest:
            self.backoff.append(self.largest)
        self.clock.now += self.seconds
        rows = np.asarray(images, np.float32).reshape(len(images), -1)
        spoiled = rows + self.noise * np.random.default_rng(0).normal(size=rows.shape) * rows.std()
        return Finished([spoiled.astype(np.float32)])


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

    monkeypatch.setattr(batch_size.time, "perf_counter", lambda: Clock.now)
    return Clock


def decide(clock, speeds, *, noise=0.0, total=10_000, precision="auto", problem=None):
    """Choose with a fake network whose batch takes `speeds[(precision, compiled)]` seconds."""

    def make(asked, batch_size, *, compiled, copied):
        return Network(clock, speeds[asked, compiled], noise if asked != "fp32" else 0.0, batch_size)

    said = SilentProgress()
    images = np.random.default_rng(1).integers(0, 256, (64, 6, 6), dtype=np.uint8)
    chooser = Chooser(make=make, sample=images, total=total, batch_size=32, problem=problem, device=CPU, progress=said)
    return chooser.choose(precision), said.said


FAST_HALF = {("fp32", False): 1.0, ("fp32", True): 0.7, ("bf16", False): 0.4, ("bf16", True): 0.2}


def test_auto_takes_half_precision_that_is_faster_and_agrees(clock):
    choice, said = decide(clock, FAST_HALF)
    assert choice.settings.precision == "bf16"
    assert choice.settings.compiled
    assert choice.agreements[0].cosine_p01 > 0.999
    assert any("agrees with fp32" in line for line in said)


def test_auto_refuses_half_precision_that_does_not_agree(clock):
    choice, said = decide(clock, FAST_HALF, noise=0.5)
    assert choice.settings.precision == "fp32"
    assert choice.agreements == ()
    assert any("does not agree" in line for line in said)


def test_auto_does_not_take_half_precision_that_is_no_faster_even_compiled(clock):
    slow = FAST_HALF | {("bf16", False): 0.95, ("bf16", True): 0.65}
    choice, said = decide(clock, slow)
    assert choice.settings.precision == "fp32"
    assert choice.settings.compiled
    assert "precision bf16: 1.08 x the speed of fp32 here, not worth its rounding" in said
    assert sum("compiled fp32" in line for line in said) == 1


def test_half_precision_that_only_compiling_makes_fast_is_found(clock):
    choice, _ = decide(clock, FAST_HALF | {("bf16", False): 0.95})
    assert choice.settings.precision == "bf16"
    assert choice.settings.compiled


def test_half_precision_that_is_emulated_is_not_compiled(clock):
    choice, said = decide(clock, FAST_HALF | {("bf16", False): 3.0})
    assert choice.settings.precision == "fp32"
    assert not any("compiled bf16" in line for line in said)


def test_a_short_run_judges_half_precision_as_it_would_run(clock):
    choice, said = decide(clock, FAST_HALF | {("bf16", False): 0.95}, total=64)
    assert choice.settings.precision == "fp32"
    assert not choice.settings.compiled
    assert not any("compiled" in line for line in said)


def test_a_precision_that_was_asked_for_is_not_questioned(clock):
    choice, _ = decide(clock, FAST_HALF, noise=0.5, precision="bf16")
    assert choice.settings.precision == "bf16"


def test_a_short_run_is_not_compiled(clock):
    choice, _ = decide(clock, FAST_HALF, total=64)
    assert not choice.settings.compiled


def test_compiling_that_gains_nothing_is_undone(clock):
    choice, said = decide(clock, FAST_HALF | {("bf16", True): 0.5})
    assert not choice.settings.compiled
    assert any("not faster than eager" in line for line in said)


def test_a_missing_compiler_is_one_line(clock):
    choice, said = decide(clock, FAST_HALF, problem="no C++ compiler found: running eager")
    assert not choice.settings.compiled
    assert said.count("no C++ compiler found: running eager") == 1


def test_compiling_that_fails_is_one_line_and_runs_eager(clock):
    class Broken(dict):
        def __getitem__(self, key):
            if key[1]:
                raise RuntimeError("no ISA found\nlong trace")
            return super().__getitem__(key)

    choice, said = decide(clock, Broken(FAST_HALF))
    assert not choice.settings.compiled
    assert "torch.compile failed (no ISA found): running eager" in said


def test_a_short_view_is_not_hidden_by_a_long_one(clock):
    def make(asked, batch_size, *, compiled, copied):
        network = Network(clock, FAST_HALF[asked, compiled], batch_size=batch_size)
        sign = 1 if asked == "fp32" else -1

        def submit(images):
            clock.now += network.seconds
            rows = np.asarray(images, np.float32).reshape(len(images), -1)
            return Finished([1000 * rows, sign * rows[:, :3]])

        network.submit = submit
        return network

    images = np.random.default_rng(1).integers(1, 256, (64, 6, 6), dtype=np.uint8)
    where = {"device": CPU, "progress": SilentProgress()}
    choice = Chooser(make=make, sample=images, total=9999, batch_size=32, problem=None, **where).choose("auto")
    assert choice.settings.precision == "fp32"


def test_the_batch_doubles_while_it_gains(clock):
    def make(size):
        return Network(clock, 0.01 + 0.001 * size if size <= 32 else 0.002 * size, batch_size=size)

    assert batch_size.choose_batch_size(make, np.zeros((16, 4, 4), np.uint8), CPU) == 32


def test_the_batch_stops_where_memory_ends(clock):
    def make(size):
        return Network(clock, 0.01, batch_size=size, largest=16)

    assert batch_size.choose_batch_size(make, np.zeros((16, 4, 4), np.uint8), CPU) == 16


def test_a_part_takes_about_ten_seconds(clock):
    choice, _ = decide(clock, FAST_HALF)
    assert choice.settings.part_batches == round(choose._PART_SECONDS / 0.2)


def test_agreement_is_the_first_percentile_of_cosine():
    rows = np.random.default_rng(0).normal(size=(200, 64)).astype(np.float32)
    spoiled = rows.copy()
    spoiled[:3] *= -1
    found = half_precision.agreement(rows, spoiled, "bf16")
    cosine = np.r_[[-1.0] * 3, [1.0] * 197]
    assert math.isclose(found.cosine_p01, np.percentile(cosine, 1), abs_tol=1e-6)
    assert not found.passed
    assert half_precision.agreement(rows, rows, "bf16").passed


def test_a_value_that_is_not_finite_never_agrees():
    rows = np.ones((4, 3), np.float32)
    broken = rows.copy()
    broken[2, 1] = np.inf
    assert not half_precision.agreement(rows, broken, "fp16").passed


def test_rows_of_zeros_agree_with_themselves():
    assert half_precision.agreement(np.zeros((4, 3), np.float32), np.zeros((4, 3), np.float32), "bf16").passed


def test_the_sample_is_always_the_same_and_spread():
    rows = sample.sample_rows(1000, 10)
    assert rows[0] == 0
    assert rows[-1] == 999
    assert np.array_equal(rows, sample.sample_rows(1000, 10))
    assert np.array_equal(sample.sample_rows(5, 10), np.arange(5))


class Broken(Network):
    """A network of which the library lacks a kernel."""

    def submit(self, images):
        raise RuntimeError("slow_conv2d_cpu not implemented for BFloat16\nand more")


@pytest.mark.parametrize("batch", [32, None])
def test_half_precision_that_does_not_run_is_left_out(clock, batch):
    def make(asked, batch_size, *, compiled, copied):
        return (Broken if asked == "bf16" else Network)(clock, 0.5, 0.0, batch_size)

    said = SilentProgress()
    images = np.zeros((64, 6, 6), np.uint8)
    chooser = Chooser(make=make, sample=images, total=10_000, batch_size=batch, problem="no", device=CPU, progress=said)
    assert chooser.choose("auto").settings.precision == "fp32"
    assert any("precision bf16 does not run here (slow_conv2d_cpu not implemented" in line for line in said.said)


def test_what_was_asked_for_and_does_not_run_is_an_error(clock):
    def make(asked, batch_size, *, compiled, copied):
        return Broken(clock, 0.5, 0.0, batch_size)

    with pytest.raises(RuntimeError, match="not implemented"):
        Chooser(
            make=make, sample=np.zeros((8, 6, 6), np.uint8), total=8, batch_size=8, problem="no", device=CPU,
            progress=SilentProgress(),
        ).choose("bf16")  # fmt: skip


def test_one_slow_reading_does_not_end_the_search_for_a_batch(clock):
    """Twice the images take as long, so the largest batch is the fastest; one reading amid them is disturbed."""
    disturbed = iter([0.1, 5.0])

    class Disturbed(Network):
        def submit(self, images):
            self.seconds = 0.1 if len(images) != 8 else next(disturbed, 0.1)
            return super().submit(images)

    found = batch_size.choose_batch_size(
        lambda size: Disturbed(clock, 0.1, 0.0, size), np.zeros((64, 6, 6), np.uint8), CPU
    )
    assert found == 64


def test_a_gpu_is_given_a_full_batch_without_a_search(clock):
    def make(*_, **__):
        raise AssertionError("nothing is tried")

    chooser = Chooser(
        make=make, sample=np.zeros((8, 6, 6), np.uint8), total=100_000, batch_size=None, problem=None,
        device=torch.device("cuda"), progress=SilentProgress(),
    )  # fmt: skip
    assert chooser._find_batch("fp16", "fp32") == 256


def test_a_compiled_network_that_gives_other_rows_is_not_used(clock):
    def make(asked, batch_size, *, compiled, copied):
        return Network(clock, 0.2 if compiled else 1.0, 0.01 if compiled else 0.0, batch_size)

    said = SilentProgress()
    images = np.random.default_rng(1).integers(0, 256, (64, 6, 6), dtype=np.uint8)
    chooser = Chooser(make=make, sample=images, total=10_000, batch_size=32, problem=None, device=CPU, progress=said)
    assert not chooser.choose("fp32").settings.compiled
    assert any("off what eager gives: running eager" in line for line in said.said)
