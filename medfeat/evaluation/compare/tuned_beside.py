"""A fine-tuned network's run beside the frozen one it started from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from medfeat.evaluation.compare.paired import Difference, compare_runs
from medfeat.evaluation.measures.bootstrap import RESAMPLES
from medfeat.evaluation.measures.evaluate import without_nan
from medfeat.evaluation.runs.run import Run


@dataclass(frozen=True)
class TunedBeside:
    """A tuned run beside the frozen one it started from.

    Attributes
    ----------
    run, start
        Both, on the same test set.
    differences
        Tuned minus start, one for each of the two headline metrics, paired.
    """

    run: Run
    start: Run
    differences: tuple[Difference, ...]

    @classmethod
    def of(cls, run: Run, start: Run) -> TunedBeside:
        """Compare both on the resamples of the same test set.

        Raises
        ------
        DataError
            They did not score the same samples.
        """
        resamples = run.protocol["resamples"] or RESAMPLES
        found = (compare_runs([run, start], metric=metric, resamples=resamples)[0] for metric in run.headline)
        return cls(run, start, tuple(found))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: keys, paired differences, and what both cost."""
        facts: dict[str, Any] = without_nan(
            {
                "run": self.run.key,
                "start": self.start.key,
                "differences": [asdict(one) for one in self.differences],
                "costs": {"run": dict(self.run.costs), "start": dict(self.start.costs)},
            }
        )
        return facts


def beside_starts(runs: Sequence[Run], known: Sequence[Run]) -> list[TunedBeside]:
    """Put every tuned run of some beside its start, as far as that is among the known ones."""
    starts = {run.key: run for run in known}
    tuned = [(run, run.costs["start"]["run"]) for run in runs if "start" in run.costs]
    return [TunedBeside.of(run, starts[key]) for run, key in tuned if key in starts]
