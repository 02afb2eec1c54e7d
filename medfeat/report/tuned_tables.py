"""Tuned networks beside the probes they started from: what changed on the same test set, and what each cost."""

from __future__ import annotations

from collections.abc import Sequence

from medfeat.cost import total_energy
from medfeat.evaluation.compare.tuned_beside import TunedBeside
from medfeat.evaluation.runs.run import Run
from medfeat.report.run_tables import NAMES
from medfeat.report.tables import Table, number, with_interval

_NOTES = (
    "paired on the same test set; an interval that holds 0 shows no difference",
    "seconds, Wh and memory of tuning are of training alone, those of the probe of embedding once and fitting the head",
)


def tuned_table(pairs: Sequence[TunedBeside], *, title: str = "Fine-tuned minus its linear probe") -> Table:
    """Return a line a tuned run: its differences with paired intervals, and the cost of both.

    Parameters
    ----------
    pairs
        At least one, all of the same kind of task.
    title
        Of the table.
    """
    first, second = pairs[0].run.headline
    columns = (
        "network", "tuned", NAMES[first], NAMES[second], "tuning s", "probe s", "tuning Wh", "probe Wh",
        "tuning MB", "probe MB",
    )  # fmt: skip
    rows = tuple(
        (
            pair.run.network,
            f"{pair.run.choice['settings']['mode']}, seed {pair.run.protocol['seed']}",
            *(with_interval(one.difference) for one in pair.differences),
            *costs(pair),
            *_both("peak_memory_bytes", pair, 1e6, 0),
        )
        for pair in pairs
    )
    less = ("probe MB", "tuning MB", "probe Wh", "tuning Wh", "probe s", "tuning s", NAMES[second])
    return Table(title, columns, rows, _NOTES, less=less, prose=("tuned",))


def costs(pair: TunedBeside) -> tuple[str, ...]:
    """Return seconds of tuning and of its probe, and Wh of both."""
    return *_both("seconds", pair, 1.0, 1), *_both("energy_wh", pair, 1.0, 2)


def _both(name: str, pair: TunedBeside, unit: float, digits: int) -> tuple[str, str]:
    """Return a cost of tuning, and of embedding and fitting the probe: sums of seconds and energy, most of memory."""
    parts = _frozen(pair.start)
    if name == "energy_wh":
        return number(pair.run.costs["probe"].get(name), digits), number(total_energy(parts), digits)
    together = max if name == "peak_memory_bytes" else sum
    frozen = [part[name] for part in parts if part.get(name) is not None]
    tuning = pair.run.costs["probe"].get(name)
    return (
        number(None if tuning is None else tuning / unit, digits),
        number(together(frozen) / unit if frozen else None, digits),
    )


def _frozen(start: Run) -> tuple[dict[str, float], ...]:
    return start.costs["extraction"], start.costs["probe"]
