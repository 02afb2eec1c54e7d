"""What a fine-tuning found: a run a seed, the probe beside it, and whether they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from medfeat.evaluation.evaluate import without_nan
from medfeat.evaluation.paired import Difference, compare_runs
from medfeat.evaluation.runs import Run
from medfeat.report.run_tables import NAMES, runs_tables
from medfeat.report.tables import Table, number, with_interval


@dataclass(frozen=True)
class FinetuneReport:
    """What `finetune` did.

    Attributes
    ----------
    runs
        One a seed.
    probe
        The linear probe on the same frozen features (for numbers, the ridge regression).
    differences
        Tuned minus probe on the same test set, for each run and headline metric.
    spread
        Mean and standard deviation of the test scores over seeds; empty for one seed.
    reused
        How many runs were found instead of made.
    """

    runs: tuple[Run, ...]
    probe: Run
    differences: tuple[Difference, ...]
    spread: dict[str, dict[str, float]]
    reused: int = 0

    @classmethod
    def of(cls, runs: Sequence[Run], probe: Run, *, reused: int) -> FinetuneReport:
        """Compare runs with the probe they stand beside."""
        found = [
            difference
            for run in runs
            for metric in run.headline
            for difference in compare_runs([run, probe], metric=metric, resamples=max(run.protocol["resamples"], 20))
        ]
        spread = _spread(runs) if len(runs) > 1 else {}
        return cls(tuple(runs), probe, tuple(found), spread, reused)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; a run's test score is at ``runs[i].test.auc.value``."""
        facts: dict[str, Any] = {
            "runs": [run.to_dict() for run in self.runs],
            "probe": self.probe.to_dict(),
            "differences": [without_nan(asdict(one)) for one in self.differences],
            "spread": without_nan(self.spread),
            "reused": self.reused,
        }
        return facts

    def tables(self) -> list[Table]:
        """Return the runs beside the probe, then what tells them apart and what each cost."""
        return [*runs_tables([*self.runs, self.probe]), self._beside()]

    def _beside(self) -> Table:
        first, second = self.probe.headline
        columns = ("tuned minus probe", NAMES[first], NAMES[second], "seconds", "Wh", "probe seconds", "probe Wh")
        rows = tuple(
            (
                f"seed {run.protocol['seed']}, {run.choice['settings']['mode']}",
                *(with_interval(one.difference) for one in self.differences[2 * i : 2 * i + 2]),
                number(run.costs["probe"]["seconds"], 1),
                number(run.costs["probe"]["energy_wh"], 2),
                number(self.probe.costs["probe"]["seconds"], 1),
                number(self.probe.costs["probe"]["energy_wh"], 2),
            )
            for i, run in enumerate(self.runs)
        )
        notes = [
            "paired bootstrap on the same test set; an interval that holds 0 shows no difference",
            "both embed every image once beside this: the tuned network's embedding stands in the table above",
        ]
        notes += [
            f"test {NAMES[name]} over {len(self.runs)} seeds: {of['mean']:.4f}, standard deviation {of['std']:.4f} "
            "(spread over seeds, not a confidence interval)"
            for name, of in self.spread.items()
        ]
        return Table("Is it worth it here?", columns, rows, tuple(notes))


def _spread(runs: Sequence[Run]) -> dict[str, dict[str, float]]:
    values = {name: [run.test.values[name].value for run in runs] for name in runs[0].headline}
    return {name: {"mean": float(np.mean(of)), "std": float(np.std(of, ddof=1))} for name, of in values.items()}
