"""One pass of a network over what some stores miss: take the locks, run, check that it was frozen, publish."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medfeat.cost import Energy, EnergyMeter, together
from medfeat.datasets.given_labels import labels_of
from medfeat.errors import MedfeatError, NotFrozenError
from medfeat.extraction.ask import remembered as lookup
from medfeat.extraction.ask.known_rows import copy_known_rows, donors_for
from medfeat.extraction.ask.request import StoreOutcome
from medfeat.extraction.ask.run_settings import RunSettings
from medfeat.extraction.ask.store_plan import Asked
from medfeat.extraction.loop.embed_rows import Figures, extract_rows
from medfeat.extraction.loop.several.several_devices import SeveralDevices
from medfeat.extraction.measure.trial import Decision
from medfeat.extraction.network.device import Machine, forget_peak, peak_memory
from medfeat.extraction.network.devices import describe_machines
from medfeat.extraction.network.frozen import fingerprint
from medfeat.types import OWN_GROUP, BadImage, Dataset, Progress, View
from medfeat_cache import GroupSpec, StoreWriter, read_header, tidy

if TYPE_CHECKING:
    from medfeat.backbones import Backbone


class BegunElsewhere(MedfeatError):  # noqa: N818 - reads as what it says
    """A store was begun by another process with other settings than ours."""


@dataclass
class Target:
    """A store to be made.

    Attributes
    ----------
    index
        Number of its view among the network's outputs.
    view, asked
        As asked.
    recipe, path
        What it will be, and where.
    depth
        Of its layer, see `medfeat.extraction.ask.request.Request`; empty where nobody asked.
    copied
        Rows copied from an earlier store.
    """

    index: int
    view: View
    asked: Asked
    recipe: dict[str, Any]
    path: Path
    depth: Mapping[str, Any] = field(default_factory=dict)
    copied: int = 0


@dataclass(frozen=True)
class _Ran:
    """What a run measured, and on what."""

    figures: Figures
    cost: Energy
    machine: Machine
    peak_bytes: int


class Pass:
    """Runs a network once over what some stores miss.

    Parameters
    ----------
    dataset, backbone
        What meets.
    choice
        RunSettings and the network built with them.
    begun
        The settings an interrupted run began these stores with; None when there was none.
    root
        Of the cache.
    progress
        Hears of every batch.
    several
        Devices that each get a process of their own; None runs the network here.
    since
        When loading and measuring began, as `time.perf_counter` counts; None where that is no part of it.
    """

    def __init__(
        self,
        dataset: Dataset,
        backbone: Backbone,
        choice: Decision,
        *,
        begun: RunSettings | None,
        root: Path,
        progress: Progress,
        several: SeveralDevices | None = None,
        since: float | None = None,
    ) -> None:
        self.dataset, self.backbone, self.choice, self.begun = dataset, backbone, choice, begun
        self.root, self.progress, self.several = root, progress, several
        self.total = sum(dataset.info.counts.values())
        self.since, self.start_seconds = since, 0.0

    def make(self, targets: list[Target], *, source: Mapping[str, Any]) -> dict[View, StoreOutcome]:
        """Make the stores and publish them; one that another process published meanwhile is found.

        Raises
        ------
        BegunElsewhere
            When another process began one of them with other settings.
        NotFrozenError
            When the network changed while it embedded; what it embedded is thrown away.
        """
        with ExitStack() as stack:
            # Always in the same order, so that two processes never hold what the other one waits for.
            writers = {t.index: self._open(t, source, stack) for t in sorted(targets, key=lambda t: t.path)}
            done = {t.view: found(t, self.root) for t in targets if writers[t.index].published}
            left = [target for target in targets if target.view not in done]
            running = {target.index: writers[target.index] for target in left}
            self._agree_on_settings(running)
            for target in left:
                self._declare(target, running[target.index])
            if not left:
                return done
            self.start_seconds = 0.0 if self.since is None else time.perf_counter() - self.since
            embedder, progress = self.choice.embedder, self.progress
            before = fingerprint(embedder.module)
            run = self._on_several(running, before)
            if run is None:
                meter, on_gpu = EnergyMeter(str(embedder.device)), embedder.device.type == "cuda"
                parts = self.choice.settings.part_batches
                forget_peak(embedder.device)
                figures = extract_rows(
                    self.dataset, embedder, running, part_batches=parts, progress=progress, background=on_gpu
                )
                run = self._on_one(figures, meter, before, running)
            return done | {t.view: self._publish(t, running[t.index], run) for t in left}

    def _on_several(self, running: Mapping[int, StoreWriter], before: str) -> _Ran | None:
        """Embed by a process for each device; None where there is one, or where they are not worth it."""
        several = self.several
        if several is None:
            return None
        names = dict.fromkeys(map(str, several.devices))
        meter = EnergyMeter(*names)
        with self._discarding(running):
            made = several.embed(self.dataset, self.choice, running, fingerprint=before, progress=self.progress)
        if made is None:
            return None
        cost = together([meter.read(name) for name in names])
        return _Ran(made.figures, cost, describe_machines(several.devices), made.peak_bytes)

    def _on_one(self, figures: Figures, meter: EnergyMeter, before: str, running: Mapping[int, StoreWriter]) -> _Ran:
        """Say what an embedding here took, and see that the network was frozen."""
        device = self.choice.embedder.device
        cost = meter.read(str(device))
        with self._discarding(running):
            self._refuse_changed(before)
        return _Ran(figures, cost, describe_machines([device]), peak_memory(device))

    def _open(self, target: Target, source: Mapping[str, Any], stack: ExitStack) -> StoreWriter:
        info = {
            "dataset": asdict(self.dataset.info),
            "backbone": asdict(self.backbone.info),
            "asked": target.asked.to_dict(),
            "source": dict(source),
            "view": asdict(self.backbone.views[target.index]),
        }
        if target.depth:
            info["depth"] = dict(target.depth)
        if self.choice.agreements:
            info["agreement"] = asdict(self.choice.agreements[target.index])
        writer = StoreWriter.open(
            target.path,
            recipe=target.recipe,
            info=info,
            settings=self.choice.settings.to_dict(),
            on_wait=self.progress.say,
        )
        return stack.enter_context(writer)

    def _agree_on_settings(self, running: Mapping[int, StoreWriter]) -> None:
        """Refuse to mix settings unnoticed: the manifest is looked at again, now that its lock is held."""
        ours = self.choice.settings.to_dict()
        for writer in running.values():
            if writer.resumed and (self.begun is None or RunSettings.from_dict(writer.settings) != self.begun):
                raise BegunElsewhere(f"{writer.path} was begun with other settings: run the same command again")
            # What was not kept when the store was begun cannot be said to differ.
            was = {name: writer.settings.get(name, "") for name in ours}
            changes = {name: value for name, value in ours.items() if was[name] not in ("", value)}
            if changes:
                writer.change_settings("resumed elsewhere", **changes)
            if set(changes) - {"device"} or (
                changes and not was["hardware"]
            ):  # another card of the same kind changes no bit
                begun = ", ".join(f"{name} {was[name]}" for name in changes)
                self.progress.say(f"this store was begun with {begun}: its rows will not be equal bit for bit")

    def _declare(self, target: Target, writer: StoreWriter) -> None:
        """Say which images there are, take over durable parts, and copy what an earlier store knows."""
        own = OWN_GROUP in self.dataset.info.counts
        # Labels of own images may change; they live in a task beside the store, not in it.
        writer.groups(
            {
                group: GroupSpec(self.dataset.ids(group), None if own else labels_of(self.dataset, group))
                for group in self.dataset.info.counts
            }
        )
        for line in writer.dropped:
            self.progress.say(line)
        if writer.resumed:
            left = sum(len(writer.missing_rows(group)) for group in self.dataset.info.counts)
            self.progress.say(f"resuming: {self.total - left} of {self.total} images are in durable parts")
        donors = donors_for(self.root, target.recipe, target.path, self.dataset)
        target.copied = copy_known_rows(writer, self.dataset, donors)

    def _refuse_changed(self, before: str) -> None:
        if fingerprint(self.choice.embedder.module) != before:
            raise NotFrozenError(
                f"parameters or buffers of {self.backbone.info.name} changed while it embedded: nothing was published"
            )

    @staticmethod
    @contextmanager
    def _discarding(running: Mapping[int, StoreWriter]) -> Iterator[None]:
        """Throw away what a network embedded that was not frozen."""
        try:
            yield
        except NotFrozenError:
            for writer in running.values():
                writer.discard()
            raise

    def _publish(self, target: Target, writer: StoreWriter, run: _Ran) -> StoreOutcome:
        figures, cost = run.figures, run.cost
        environment = {
            **writer.settings,
            **asdict(run.machine),
            "start_seconds": self.start_seconds,
            "views": len(self.backbone.views),
            "seconds": figures.seconds,
            "images": figures.embedded,
            "images_per_second": figures.images_per_second,
            "stages": figures.stages,
            "energy_wh": cost.watt_hours,
            "energy_method": cost.method,
            "peak_memory_bytes": run.peak_bytes,
        }
        resumed = writer.resumed
        writer.publish({"environment": environment})
        return replace(
            found(target, self.root),
            action="resume" if resumed else "compute",
            embedded=figures.embedded,
            copied=target.copied,
            seconds=figures.seconds,
            images_per_second=figures.images_per_second,
            watt_hours=cost.watt_hours,
            energy_method=cost.method,
        )


def found(target: Target, root: Path) -> StoreOutcome:
    """Return a store that is there, and remember which request it answers."""
    tidy(target.path)  # its writer may have been killed between publishing it and tidying up
    lookup.remember_store(root, target.asked.to_dict(), target.path)
    return reused(target.path, target.view)


def reused(path: Path, view: View) -> StoreOutcome:
    """Describe a store that is there, as the answer to a request."""
    header = read_header(path)
    return StoreOutcome(
        action="reuse",
        path=path,
        recipe=header.recipe,
        dataset=header.recipe["dataset"],
        backbone=header.recipe["backbone"],
        view=view,
        images=sum(header.counts.values()),
        dim=header.dim,
        shape=header.shape,
        bad=tuple(BadImage(bad["id"], bad["reason"]) for bad in header.info.get("bad_images", ())),
    )
