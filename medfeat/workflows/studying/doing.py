"""Making a cell: by the very functions that `extract`, `probe` and `finetune` call."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

from medfeat.errors import DataError, UnsuitedHeadError
from medfeat.extraction.measure.clock import stopwatch
from medfeat.extraction.network.device import describe_machine
from medfeat.extraction.network.devices import resolve_devices
from medfeat.extraction.network.loaded import LastLoaded
from medfeat.heads import head_identity
from medfeat.types import Progress
from medfeat.workflows.extract import extract_wanted
from medfeat.workflows.few_shot import few_shot_of
from medfeat.workflows.finetune import tune
from medfeat.workflows.jobs.unforeseen import in_one_line
from medfeat.workflows.probe import probe_stores
from medfeat.workflows.studying import requests
from medfeat.workflows.studying.cells import Cell
from medfeat.workflows.studying.keys import CURVE, EMBEDDING
from medfeat.workflows.studying.notes import Note, keep_note, note_of, said
from medfeat.workflows.studying.requests import Here
from medfeat.workflows.studying.standing import DONE, LEFT_OUT, Known, Standing
from medfeat_cache import read_header


@dataclass(frozen=True)
class Maker:
    """Makes cells, and notes what each took.

    Attributes
    ----------
    here
        The machine, and where its cache is.
    run
        Name of this run of the study.
    progress
        Told what the commands tell.
    loaded
        The network of the last embedding, for the next.
    """

    here: Here
    run: str
    progress: Progress
    loaded: LastLoaded = field(default_factory=LastLoaded)

    def make(self, cell: Cell, known: Known) -> Standing:
        """Make a cell, and return what is known of it then; a failure is noted, and raised."""
        work, before = stopwatch(resolve_devices(self.here.device)[0]), note_of(self.here.root, cell)
        note = Note(cell.kind, said(cell), machine=machine_here(self.here), run=self.run)
        try:
            fresh, note = self._made(cell, known, note)
        except UnsuitedHeadError as error:
            if not cell.any_head:
                self._note_failure(cell, note, error)
                raise
            said_why, head = in_one_line(error), head_identity(str(cell.options["head"]))
            keep_note(self.here.root, cell, replace(note, unsuited=said_why, head=head))
            return Standing(LEFT_OUT, said_why)
        except Exception as error:
            self._note_failure(cell, note, error)
            raise
        if not fresh and before is not None:  # what was found took no time that says anything
            note = replace(note, seconds=before.seconds, work=before.work, machine=before.machine)
        else:
            note = replace(note, seconds=work() if fresh else 0.0)
        keep_note(self.here.root, cell, note)
        return known.of(cell)

    def _note_failure(self, cell: Cell, note: Note, error: Exception) -> None:
        where = f" (on {self.here.worker})" if self.here.worker else ""
        keep_note(self.here.root, cell, replace(note, failed=in_one_line(error) + where))

    def _made(self, cell: Cell, known: Known, note: Note) -> tuple[bool, Note]:
        """Call the workflow of a cell; return whether all of it was made now, and the note."""
        if cell.kind == EMBEDDING:
            return self._embedded(cell, replace(note, work=known.of(cell).passes or 0.0))
        self.loaded.forget()  # heads and trainings need the room
        if cell.of is None:
            return self._trained(cell, note)
        embedded = known.of(cell.of)
        if embedded.state != DONE:
            raise DataError(f"its embedding is not here: {embedded.why}")
        asked = requests.probe_request(cell, self.here, embedded.stores)
        note = replace(note, work=work_of(embedded.stores))
        if cell.kind == CURVE:
            curves = few_shot_of(asked, **requests.curve_options(cell), progress=self.progress)
            if curves.failed:
                raise DataError("; ".join(one.line() for one in curves.failed))
            return True, note
        how = requests.probe_options(cell)
        report = probe_stores(asked, **how, baselines=False, progress=self.progress, raising=True)
        if report.failed:
            raise DataError("; ".join(one.line() for one in report.failed))
        if not report.runs:
            raise UnsuitedHeadError(next(iter(report.notes), "the head suits none of the stores"))
        return not report.reused, replace(note, answer=tuple(run.key for run in report.runs))

    def _embedded(self, cell: Cell, note: Note) -> tuple[bool, Note]:
        wanted = requests.wanted(cell, self.here)
        report = extract_wanted(
            wanted, device=self.here.device, progress=self.progress, raising=True, loaded=self.loaded
        )
        for line in report.problem_lines():
            self.progress.say(line)
        return all(one.action != "reuse" for one in report.stores), note

    def _trained(self, cell: Cell, note: Note) -> tuple[bool, Note]:
        report = tune(requests.training_request(cell, self.here), progress=self.progress)
        store = str(report.probe.store["digest"])
        keys = tuple(run.key for run in report.runs)
        return not report.reused, replace(note, answer=keys, store=store)


def work_of(stores: tuple[Path, ...] | list[Path]) -> float:
    """Return what the time of a head grows with: bytes of the embeddings it reads."""
    headers = map(read_header, stores)
    return float(sum(4 * sum(one.counts.values()) * math.prod(one.shape) for one in headers))


def machine_here(here: Here) -> str:
    """Name device, processor and cores: times of another machine say nothing of this one."""
    machine = describe_machine(resolve_devices(here.device)[0])
    return f"{machine.device}, {machine.name}, {machine.cores} cores"
