"""What an extraction did, or would do: as values, as lines, as a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from medfeat.counted import counted
from medfeat.extraction.ask.request import StoreOutcome
from medfeat.extraction.ask.store_plan import StorePlan
from medfeat.report.shown import Shown
from medfeat.report.tables import Table
from medfeat.workflows.asking.data_options import Source
from medfeat.workflows.jobs.each import Failure
from medfeat.workflows.results.left_out import left_out
from medfeat_cache import spell_shape


@dataclass(frozen=True)
class Pair:
    """One dataset, by its name or as it was asked for, and one backbone."""

    source: Source
    backbone: str

    @property
    def dataset(self) -> str:
        """The dataset, in words."""
        return str(self.source)

    @property
    def name(self) -> str:
        """Both in a few words."""
        return f"{self.dataset} x {self.backbone}"


def _failure_dict(failure: Failure[Pair]) -> dict[str, Any]:
    return {"dataset": failure.job.dataset, "backbone": failure.job.backbone, "reason": failure.error}


@dataclass(frozen=True, repr=False)
class ExtractReport(Shown):
    """What `extract` did.

    Attributes
    ----------
    stores
        One outcome a store, in the order asked for.
    failures
        Pairs that failed.
    device
        Where the networks ran.
    """

    stores: tuple[StoreOutcome, ...]
    failures: tuple[Failure[Pair], ...]
    device: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "stores": [store.to_dict() for store in self.stores],
            "failures": [_failure_dict(failure) for failure in self.failures],
            "device": self.device,
        }

    def lines(self) -> list[str]:
        """Return the closing lines, one a store."""
        return [_closing_line(store, self.device) for store in self.stores]

    def tables(self) -> list[Table]:
        """Return one row a store, and what went wrong below."""
        rows = tuple(
            (store.dataset, store.backbone, store.action, f"{store.images:,} x {store.dim:,}", str(store.path))
            for store in self.stores
        )
        columns = ("dataset", "backbone", "action", "embeddings", "store")
        count = counted(len(rows), "store")
        return [Table(f"{count} on {self.device}", columns, rows, tuple(self.problem_lines()))]

    def problem_lines(self) -> list[str]:
        """Return a line for each image that could not be read and each pair that failed."""
        lines = [f"{dataset}: {name} was skipped: {reason}" for (dataset, name), reason in self._bad().items()]
        return lines + [failure.line() for failure in self.failures]

    def last_line(self, *, skip_bad: bool = False) -> list[str]:
        """Return how many images are in no store and what to do; nothing where all are."""
        asked = {store.dataset: store.images + len(store.bad) for store in self.stores}
        return left_out(len(self._bad()), sum(asked.values()), "embedding", skip_bad=skip_bad)

    def _bad(self) -> dict[tuple[str, str], str]:
        """Return why each image could not be read, once for all networks that would have seen it."""
        return {(store.dataset, image.id): image.reason for store in self.stores for image in store.bad}

    def exit_code(self, *, skip_bad: bool = False) -> int:
        """Return 0 when everything asked for is there; bad images count unless `skip_bad`."""
        bad = any(store.bad for store in self.stores)
        return int(bool(self.failures) or (bad and not skip_bad))


@dataclass(frozen=True)
class PlanReport:
    """What `extract` would do; `errors` are what its failures were raised as."""

    plans: tuple[StorePlan, ...]
    failures: tuple[Failure[Pair], ...]
    errors: tuple[Exception, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        plans = [asdict(plan) | {"store": None if plan.store is None else str(plan.store)} for plan in self.plans]
        return {"plans": plans, "failures": [_failure_dict(failure) for failure in self.failures]}

    def tables(self) -> list[Table]:
        """Return one row a store."""
        columns = ("dataset", "backbone", "action", "images", "disk", "time", "why")
        rows = tuple(
            (
                plan.dataset,
                plan.backbone,
                plan.action,
                str(plan.images),
                "not known yet" if plan.disk_bytes is None else f"{plan.disk_bytes / 1e6:.1f} MB",
                "not known" if plan.seconds is None else _duration(plan.seconds),
                plan.why,
            )
            for plan in self.plans
        )
        return [Table("", columns, rows, less=("time", "disk", "images"), prose=("why",))]


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _closing_line(store: StoreOutcome, device: str) -> str:
    shape = f"{store.images} x {spell_shape(store.shape)}"
    if store.action == "reuse":
        return f"reused {store.path}  {shape}  (nothing was embedded)"
    known = store.watt_hours is not None
    used = f"~{store.watt_hours:.3f} Wh ({store.energy_method})" if known else f"energy {store.energy_method}"
    copied = f", {store.copied:,} copied from an earlier store" if store.copied else ""
    # Rows that were copied went through no network, at no speed.
    rate = f"  {store.images_per_second:,.1f} images/s" if store.embedded else ""
    return f"wrote {store.path}  {shape}{rate}  {store.seconds:.1f} s on {device}{copied}  {used}"
