"""The one loop over jobs: each is tried, one that fails stops nobody, and an error that is all there is gets raised."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from medfeat.errors import MedfeatError
from medfeat.saying import WholeProgress
from medfeat.types import Progress
from medfeat.workflows.jobs.unforeseen import in_one_line, show_traceback

T = TypeVar("T")


class _Job(Protocol):
    """What is to be done: a frozen value that says what it is."""

    @property
    def name(self) -> str:
        """What it is, in a few words."""
        ...


J = TypeVar("J", bound=_Job)
J_co = TypeVar("J_co", bound=_Job, covariant=True)


@dataclass(frozen=True)
class Failure(Generic[J_co]):
    """A job that failed, and why, in one line."""

    job: J_co
    error: str

    @property
    def what(self) -> str:
        """The job, in a few words."""
        return self.job.name

    def line(self) -> str:
        """Return both in one line."""
        return f"{self.what}: {self.error}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"what": self.what, "error": self.error}


@dataclass
class Overall:
    """How far a command is: told before each of its jobs, however many loops they come from.

    Attributes
    ----------
    progress
        Hears of it, if it is a `medfeat.saying.WholeProgress`.
    what
        Of what there are several: ``run``.
    total, done
        How many; of one alone nothing is told.
    """

    progress: Progress
    what: str
    total: int
    done: int = 0

    def begin(self) -> None:
        """Say that one more begins."""
        self._tell(self.done)
        self.done += 1

    def end(self) -> None:
        """Say that there are no more."""
        self._tell(self.total)

    def _tell(self, done: int) -> None:
        if self.total > 1 and isinstance(self.progress, WholeProgress):
            self.progress.whole(done, self.total, self.what)


@dataclass(frozen=True)
class Done(Generic[J, T]):
    """What became of some jobs.

    Attributes
    ----------
    results
        Of the jobs that were done, in their order.
    failures
        The other ones.
    errors
        What each of these raised.
    passed_over
        What the jobs raised that nobody misses.
    """

    results: tuple[T, ...] = ()
    failures: tuple[Failure[J], ...] = ()
    errors: tuple[Exception, ...] = ()
    passed_over: tuple[Exception, ...] = ()

    def raise_if_alone(self) -> None:
        """Raise what went wrong where it is all there is to tell: nothing was done, and every job says the same."""
        if not self.results and len({str(error) for error in self.errors}) == 1:
            raise self.errors[0]

    def raise_if_nothing(self, *, alike: bool = False) -> None:
        """Raise what went wrong where nothing was done at all, however many jobs there were: as for one, so for many.

        Parameters
        ----------
        alike
            Only where every job says the same, as `raise_if_alone`.

        Raises
        ------
        MedfeatError
            Of all jobs, where they failed in different ways.
        """
        self.raise_if_alone()
        if not (self.results or alike) and self.errors:
            lines = "; ".join(failure.line() for failure in self.failures)
            raise MedfeatError(f"nothing was done, {len(self.errors)} failed: {lines}") from self.errors[0]


def each(
    jobs: Iterable[J],
    do: Callable[[J], T],
    *,
    passed_over: tuple[type[Exception], ...] = (),
    overall: Overall | None = None,
) -> Done[J, T]:
    """Do each job; one that fails is kept for the report and stops no other.

    Parameters
    ----------
    jobs
        In the order in which they are done.
    do
        Does one.
    passed_over
        Errors of jobs that nobody misses.
    overall
        Is told of each that begins.
    """
    results: list[T] = []
    failures: list[Failure[J]] = []
    errors: list[Exception] = []
    passed: list[Exception] = []
    for job in jobs:
        if overall is not None:
            overall.begin()
        try:
            results.append(do(job))
        except passed_over as error:
            passed.append(error)
        except Exception as error:
            show_traceback(error)
            errors.append(error)
            failures.append(Failure(job, in_one_line(error)))
    return Done(tuple(results), tuple(failures), tuple(errors), tuple(passed))
