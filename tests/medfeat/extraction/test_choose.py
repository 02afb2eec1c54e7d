"""Settings come from measurements: half precision only where it agrees, compiling only where it pays."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from laboratory import CPU, FAST_HALF, Lab, Network
from medfeat.extraction.ask.run_settings import RunSettings
from medfeat.extraction.measure import batch_size, choose, half_precision, sample
from medfeat.extraction.measure.memory import remembered
from medfeat.extraction.measure.when_to_compile import rows_apart, worth_compiling
from medfeat.extraction.network.forward import Finished


def decide(clock, speeds, *, noise=0.0, total=10_000, precision="auto", problem=None):
    """Choose once, on a machine that knows nothing."""
    lab = Lab(clock, speeds, noise=noise, problem=problem)
    return lab.choose(precision, total=total), lab.said


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
    choice, said = decide(clock, FAST_HALF | {("bf16", False): 0.95}, total=600)
    assert choice.settings.precision == "fp32"
    assert not choice.settings.compiled
    assert not any("compiled" in line for line in said)


def test_a_precision_that_was_asked_for_is_not_questioned(clock):
    choice, _ = decide(clock, FAST_HALF, noise=0.5, precision="bf16")
    assert choice.settings.precision == "bf16"


def test_a_short_run_is_not_compiled(clock):
    choice, said = decide(clock, FAST_HALF, total=600)
    assert not choice.settings.compiled
    assert not any("compiling" in line for line in said)


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
            clock.spend(network.seconds)
            rows = np.asarray(images, np.float32).reshape(len(images), -1)
            return Finished([1000 * rows, sign * rows[:, :3]])

        network.submit = submit
        return network

    lab = Lab(clock, FAST_HALF)
    lab.make = make
    assert lab.choose().settings.precision == "fp32"


def test_the_batch_doubles_while_it_gains(clock):
    def make(size):
        return Network(clock, (0.01 + 0.001 * size if size <= 32 else 0.002 * size) * 32 / size, batch_size=size)

    assert batch_size.choose_batch_size(make, np.zeros((16, 4, 4), np.uint8), CPU) == 32


def test_the_batch_stops_where_memory_ends(clock):
    def make(size):
        return Network(clock, 0.32 / size, batch_size=size, largest=16)

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
    lab = Lab(clock, FAST_HALF, problem="no")
    plain = lab.make

    def make(asked, batch_size, *, compiled, copied):
        if asked == "bf16":
            return Broken(clock, 0.5, 0.0, batch_size)
        return plain(asked, batch_size, compiled=compiled, copied=copied)

    lab.make = make
    assert lab.choose(batch_size=batch).settings.precision == "fp32"
    assert any("precision bf16 does not run here (slow_conv2d_cpu not implemented" in line for line in lab.said)


def test_what_was_asked_for_and_does_not_run_is_an_error(clock):
    lab = Lab(clock, FAST_HALF)
    lab.make = lambda asked, batch_size, **_: Broken(clock, 0.5, 0.0, batch_size)
    with pytest.raises(RuntimeError, match="not implemented"):
        lab.choose("bf16", total=8, batch_size=8)


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


def test_a_gpu_is_given_a_full_batch_without_a_search(clock, monkeypatch):
    monkeypatch.setattr(choose, "compiler_cache", lambda device: "")
    monkeypatch.setattr(choose, "settings_here", lambda _device, *given, **_fused: RunSettings("cuda", *given))
    lab = Lab(clock, FAST_HALF | {("fp16", False): 0.3, ("fp16", True): 0.1})
    assert lab.choose(total=100_000, batch_size=None, device=torch.device("cuda")).settings.batch_size == 256
    assert {size for _, size, _ in lab.built} == {256}


def test_a_gpu_tries_half_precision_for_seconds_already(clock, monkeypatch):
    """2,000 images take five seconds in float32: a processor would not measure, a GPU has done so in a moment."""
    monkeypatch.setattr(choose, "compiler_cache", lambda device: "")
    monkeypatch.setattr(choose, "settings_here", lambda device, *given, **_: RunSettings("cuda", *given))
    lab = Lab(clock, FAST_HALF | {("fp32", False): 0.08, ("fp16", False): 0.02})
    assert lab.choose(total=2000, batch_size=None, device=torch.device("cuda")).settings.precision == "fp16"
    assert lab.choose(total=2000, batch_size=None).settings.precision == "fp32"
    assert lab.choose(total=100, batch_size=None, device=torch.device("cuda")).settings.precision == "fp32"


def test_a_compiled_network_that_gives_other_rows_is_not_used(clock):
    lab = Lab(clock, FAST_HALF)
    lab.make = lambda asked, batch_size, *, compiled, copied: Network(
        clock, 0.2 if compiled else 1.0, 0.01 if compiled else 0.0, batch_size
    )
    assert not lab.choose("fp32").settings.compiled
    assert any("off what eager gives: running eager" in line for line in lab.said)


# What compiling may lose


@pytest.mark.parametrize("total", [300, 700, 1100, 1300, 2000, 10_000])
def test_compiling_for_nothing_costs_at_most_half_of_what_eager_takes(clock, total):
    """The worst there is: it costs what was expected, and gains nothing."""
    lab = Lab(clock, FAST_HALF | {("fp32", True): 1.0}, cost=12.35)
    before = clock.work
    lab.choose("fp32", total=total)
    measured = 6.0  # one image, a batch, and both once more to compare
    assert clock.work - before <= total / 32 / 2 + measured


@pytest.mark.parametrize(
    ("eager", "cost", "gain", "worth"),
    [
        (100.0, 20.0, 1.4, True),  # saves 28.6
        (60.0, 20.0, 1.4, False),  # saves 17.1
        (30.0, 20.0, 10.0, False),  # saves 27, but had cost two thirds of the run if it failed
        (41.0, 20.0, 10.0, True),
        (1e6, 20.0, 1.0, False),
        (1e6, 20.0, 0.5, False),
    ],
)
def test_compiling_must_repay_itself_and_be_small_beside_the_run(eager, cost, gain, worth):
    assert worth_compiling(eager, cost, gain) is worth


def test_what_compiling_cost_here_says_what_it_will_cost(clock, tmp_path):
    """A machine on which compiling takes ten times the guess compiles only runs that repay that."""
    machine = {"machine": "slow", "network": "one"}
    first, _ = remembered(tmp_path, machine)
    assert Lab(clock, FAST_HALF, cost=123.5).choose("fp32", total=10_000, memory=first).settings.compiled
    other, _ = remembered(tmp_path, machine | {"network": "other"})
    lab = Lab(clock, FAST_HALF, cost=123.5)
    assert not lab.choose("fp32", total=10_000, memory=other).settings.compiled
    assert not any(compiled for _, _, compiled in lab.built)
    elsewhere, _ = remembered(tmp_path, {"machine": "other", "network": "other"})
    assert Lab(clock, FAST_HALF).choose("fp32", total=10_000, memory=elsewhere).settings.compiled


# What a run of seconds measures


def test_a_run_of_seconds_measures_one_image_alone(clock):
    lab = Lab(clock, FAST_HALF)
    choice = lab.choose(total=300)
    assert (choice.settings.precision, choice.settings.compiled) == ("fp32", False)
    assert lab.built == [("fp32", 1, False), ("fp32", 32, False)]
    assert not any("measuring" in line for line in lab.said)


def test_a_processor_without_bf16_is_not_asked_to_try_it(clock, monkeypatch):
    monkeypatch.setattr(choose, "missing_instructions", lambda half, device: "this processor has none")
    lab = Lab(clock, FAST_HALF)
    assert lab.choose().settings.precision == "fp32"
    assert not any(precision == "bf16" for precision, _, _ in lab.built)
    assert "precision bf16 is left out: this processor has none" in lab.said


def test_emulated_half_precision_costs_one_image(clock):
    lab = Lab(clock, FAST_HALF | {("bf16", False): 9.0})
    assert lab.choose().settings.precision == "fp32"
    assert [built for built in lab.built if built[0] == "bf16"] == [("bf16", 1, False)]


@pytest.mark.parametrize(
    ("flags", "onednn", "has"),
    [
        ({"sse2", "avx2"}, False, False),
        ({"sse2", "avx2", "avx512f"}, True, False),
        ({"sse2", "avx512_bf16"}, True, True),
        ({"sse2", "amx_bf16"}, False, False),  # held back by ONEDNN_MAX_CPU_ISA
        ({"asimd", "bf16"}, False, True),
        ({"asimd"}, False, False),
        (set(), False, True),  # another system: one image tells
    ],
)
def test_what_a_processor_has_is_looked_up(monkeypatch, flags, onednn, has):
    monkeypatch.setattr(half_precision, "processor_flags", lambda: frozenset(flags))
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn)
    assert (half_precision.missing_instructions("bf16", CPU) == "") is has
    assert half_precision.missing_instructions("bf16", torch.device("cuda")) == ""


def test_what_takes_long_is_announced_before_it_starts(clock):
    lab = Lab(clock, FAST_HALF, cost=20.0)
    heard = []
    plain = lab.make

    def make(asked, batch_size, *, compiled, copied):
        heard.append((asked, compiled, list(lab.progress.said)))
        return plain(asked, batch_size, compiled=compiled, copied=copied)

    lab.make = make
    lab.choose()
    assert any("measuring bf16 ..." in said for asked, _, said in heard if asked == "bf16")
    assert all(
        any(line.startswith("compiling bf16, about 12 s") for line in said) for _, compiled, said in heard if compiled
    )


def test_rows_are_apart_by_a_share_of_their_length_and_rows_of_nothing_by_what_was_added():
    eager = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 0.0]], np.float32)
    assert rows_apart([eager], [eager]) == 0
    assert rows_apart([eager], [eager + np.array([[0.0, 1.0], [0.0, 0.0], [0.0, 0.0]], np.float32)]) == 0.2
    assert rows_apart([eager[:1], eager[1:]], [eager[:1], np.array([[0.0, 0.0], [0.0, 0.5]], np.float32)]) == 0.5
