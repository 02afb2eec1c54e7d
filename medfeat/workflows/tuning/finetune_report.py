"""What a fine-tuning found: a run a seed, the probe beside it, and whether they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from medfeat.evaluation.compare.paired import Difference
from medfeat.evaluation.compare.tuned_beside import TunedBeside
from medfeat.evaluation.measures.evaluate import without_nan
from medfeat.evaluation.runs.run import Run
from medfeat.report.run_tables import NAMES, runs_tables
from medfeat.report.shown import Shown
from medfeat.report.tables import Table
from medfeat.report.tuned_tables import tuned_table


@dataclass(frozen=True, repr=False)
class FinetuneReport(Shown):
    """What `finetune` did.

    Attributes
    ----------
    probe
        The linear probe on the same frozen features (for numbers, the ridge regression).
    beside
        A run a seed, each beside the probe: what it gained on the same test set.
    reused
        How many runs were found instead of made.
    """

    probe: Run
    beside: tuple[TunedBeside, ...]
    reused: int = 0

    @classmethod
    def of(cls, runs: Sequence[Run], probe: Run, *, reused: int) -> FinetuneReport:
        """Compare runs with the probe they stand beside."""
        return cls(probe, tuple(TunedBeside.of(run, probe) for run in runs), reused)

    @property
    def runs(self) -> tuple[Run, ...]:
        """One a seed."""
        return tuple(pair.run for pair in self.beside)

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Tuned minus probe, for each run and headline metric."""
        return tuple(one for pair in self.beside for one in pair.differences)

    @property
    def spread(self) -> dict[str, dict[str, float]]:
        """Mean and standard deviation of the test scores over seeds; empty for one seed."""
        if len(self.beside) < 2:
            return {}
        values = {name: [run.test.values[name].value for run in self.runs] for name in self.probe.headline}
        return {name: {"mean": float(np.mean(of)), "std": float(np.std(of, ddof=1))} for name, of in values.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; a run's test score is at ``runs[i].test.auc.value``."""
        return {
            "runs": [run.to_dict() for run in self.runs],
            "probe": self.probe.to_dict(),
            "beside": [pair.to_dict() for pair in self.beside],
            "spread": without_nan(self.spread),
            "reused": self.reused,
        }

    def tables(self) -> list[Table]:
        """Return the runs beside the probe, then what tells them apart and what each cost."""
        table = tuned_table(self.beside, title="Is it worth it here? Fine-tuned minus its probe")
        notes = [
            f"test {NAMES[name]} over {len(self.beside)} seeds: {of['mean']:.4f}, standard deviation {of['std']:.4f} "
            "(spread over seeds, not a confidence interval)"
            for name, of in self.spread.items()
        ]
        return [*runs_tables([*self.runs, self.probe]), replace(table, notes=(*table.notes, *notes))]
