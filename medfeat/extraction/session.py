"""One dataset through one backbone: look, load, decide, run, publish; one store for each view asked for."""

from __future__ import annotations

import copy
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medfeat.backbones import describe, load_backbone, weights_digest
from medfeat.cost import Energy, EnergyMeter
from medfeat.errors import DataError, NotFrozenError
from medfeat.extraction import lookup
from medfeat.extraction.asking import describe_request, unfinished_precision, unfinished_settings
from medfeat.extraction.building import make_embedder
from medfeat.extraction.choose import Choice, choose_settings
from medfeat.extraction.compiling import compile_problem
from medfeat.extraction.device import describe_machine, peak_memory
from medfeat.extraction.donors import copy_known_rows, donors_for
from medfeat.extraction.forward import Embedder
from medfeat.extraction.plan import Asked, build_recipe
from medfeat.extraction.request import Request, StoreOutcome
from medfeat.extraction.run import Figures, extract_rows
from medfeat.extraction.sample import read_sample
from medfeat.extraction.settings import Settings
from medfeat.extraction.volumes import views_for
from medfeat.types import OWN_GROUP, BadImage, Dataset, Precision, Progress, View
from medfeat_cache import GroupSpec, StoreWriter, read_header, recipe_digest, store_path

if TYPE_CHECKING:
    import torch


def embed(
    dataset: Dataset, backbone: str, request: Request, *, root: Path, device: torch.device, progress: Progress
) -> list[StoreOutcome]:
    """Make, finish or find the store of each view.

    Parameters
    ----------
    dataset
        Where images come from.
    backbone
        A name that `medfeat.backbones.load_backbone` knows.
    request
        How to embed.
    root
        Of the cache.
    device
        Where the network runs.
    progress
        Hears of every batch.

    Returns
    -------
    list[StoreOutcome]
        One a view, in the order asked for.
    """
    asked = {view: describe_request(dataset, backbone, request, view) for view in request.views}
    found = {} if request.recheck else {v: lookup.remembered_store(root, a.to_dict()) for v, a in asked.items()}
    outcomes = {view: _reused(path, view) for view, path in found.items() if path is not None}
    left = {view: question for view, question in asked.items() if view not in outcomes}
    if left:
        outcomes |= _Session(dataset, backbone, request, left, root=root, device=device, progress=progress).run()
    return [outcomes[view] for view in request.views]


@dataclass
class _Target:
    """A store still to be made."""

    index: int
    view: View
    asked: Asked
    recipe: dict[str, Any]
    path: Path
    copied: int = 0


class _Session:
    """Everything that happens once the weights have to be read."""

    def __init__(
        self,
        dataset: Dataset,
        name: str,
        request: Request,
        asked: dict[View, Asked],
        *,
        root: Path,
        device: torch.device,
        progress: Progress,
    ) -> None:
        self.dataset, self.name, self.request, self.asked = dataset, name, request, asked
        self.root, self.device, self.progress = root, device, progress
        self.total = sum(dataset.info.counts.values())
        if self.total == 0:
            raise DataError(f"{dataset.info.name} holds no images: nothing to embed")
        self.backbone = load_backbone(
            name,
            views=views_for(tuple(asked), dataset.info, describe(name)),
            weights=request.weights,
            seed=request.seed,
            offline=request.offline,
            trust_remote_code=request.trust_remote_code,
        )
        for line in self.backbone.reported:
            progress.say(line)

    def run(self) -> dict[View, StoreOutcome]:
        """Find what the weights' digest reveals to be there already, and make the rest."""
        choice: Choice | None = None
        precision = self._known_precision()
        if precision is None:
            choice = self._measure("auto")
            precision = choice.settings.precision
        targets = self._targets(precision)
        there = [target for target in targets if target.path.is_file()]
        outcomes = {target.view: self._found(target) for target in there}
        missing = [target for target in targets if not target.path.is_file()]
        if missing:
            outcomes |= self._make(missing, precision, choice)
        return outcomes

    def _known_precision(self) -> Precision | None:
        """Return the precision that needs no measurement: as asked, raw, or that of an interrupted run."""
        if self.backbone.takes_raw:
            return "fp32"
        if self.request.precision != "auto":
            return self.request.precision  # type: ignore[return-value]  # checked where it was typed
        return unfinished_precision(self.root, list(self.asked.values()))

    def _targets(self, precision: Precision) -> list[_Target]:
        targets = []
        for index, (view, resolved) in enumerate(zip(self.asked, self.backbone.views, strict=True)):
            recipe = build_recipe(
                self.dataset.info, self.backbone.info, resolved, fit=self.request.fit, precision=precision
            ).to_dict()
            path = store_path(self.root, self.dataset.info.name, self.backbone.info.name, recipe_digest(recipe))
            targets.append(_Target(index, view, self.asked[view], recipe, path))
        return targets

    def _measure(self, precision: str) -> Choice:
        problem = compile_problem(self.device) if self.request.compile else "compiling was not wanted"
        return choose_settings(
            self._build,
            read_sample(self.dataset),
            total=self.total,
            precision=precision,
            batch_size=self.request.batch_size,
            compile_problem=problem,
            device=self.device,
            progress=self.progress,
        )

    def _build(self, precision: Precision, batch_size: int, *, compiled: bool, copied: bool) -> Embedder:
        backbone = self.backbone
        if copied:
            backbone = replace(backbone, module=copy.deepcopy(backbone.module))
        return make_embedder(
            backbone,
            self.dataset.info,
            fit=self.request.fit,
            device=self.device,
            precision=precision,
            batch_size=batch_size,
            compiled=compiled,
        )

    def _found(self, target: _Target) -> StoreOutcome:
        lookup.remember_store(self.root, target.asked.to_dict(), target.path)
        return _reused(target.path, target.view)

    def _make(self, targets: list[_Target], precision: Precision, choice: Choice | None) -> dict[View, StoreOutcome]:
        """Make the stores; those that an interrupted run left with other settings take a pass of their own."""
        outcomes: dict[View, StoreOutcome] = {}
        passes: dict[Settings | None, list[_Target]] = {}
        for target in targets:
            passes.setdefault(unfinished_settings(target.path), []).append(target)
        for settings, together in passes.items():
            if settings is not None:
                made = Choice(settings, self._rebuilt(settings), None)
            elif self.backbone.takes_raw:
                plain = Settings(str(self.device), "fp32", self.request.batch_size or 64, False, 64)
                made = Choice(plain, self._rebuilt(plain), None)
            else:
                made = choice or self._measure(precision)
            outcomes |= self._pass(together, made)
        return outcomes

    def _rebuilt(self, settings: Settings) -> Embedder:
        compiled = settings.compiled and compile_problem(self.device) is None
        return self._build(settings.precision, settings.batch_size, compiled=compiled, copied=True)

    def _pass(self, targets: list[_Target], choice: Choice) -> dict[View, StoreOutcome]:
        """Run the network once over what these stores miss, and publish them."""
        with ExitStack() as stack:
            # Always in the same order, so that two processes never hold what the other one waits for.
            writers = {t.index: self._open(t, choice, stack) for t in sorted(targets, key=lambda t: t.path)}
            done = {t.view: self._found(t) for t in targets if writers[t.index].published}
            left = [target for target in targets if target.view not in done]
            if not left:
                return done
            for target in left:
                self._declare(target, writers[target.index])
            running = {target.index: writers[target.index] for target in left}
            meter = EnergyMeter(str(self.device))
            before = weights_digest(choice.embedder.module)
            figures = extract_rows(
                self.dataset,
                choice.embedder,
                running,
                part_batches=choice.settings.part_batches,
                progress=self.progress,
                background=self.device.type == "cuda",
            )
            for halved in choice.embedder.backoff[-1:]:
                for writer in running.values():
                    writer.change_settings("memory ran out", batch_size=halved)
            if weights_digest(choice.embedder.module) != before:
                raise NotFrozenError(f"the parameters of {self.name} changed while it embedded: nothing was published")
            cost = meter.read()
            return done | {t.view: self._publish(t, running[t.index], choice, figures, cost) for t in left}

    def _open(self, target: _Target, choice: Choice, stack: ExitStack) -> StoreWriter:
        info = {
            "dataset": asdict(self.dataset.info),
            "backbone": asdict(self.backbone.info),
            "asked": target.asked.to_dict(),
            "source": dict(self.request.source),
            "view": asdict(self.backbone.views[target.index]),
        }
        if choice.agreement is not None:
            info["agreement"] = asdict(choice.agreement)
        writer = StoreWriter.open(
            target.path,
            recipe=target.recipe,
            info=info,
            settings=choice.settings.to_dict(),
            on_wait=self.progress.say,
        )
        return stack.enter_context(writer)

    def _declare(self, target: _Target, writer: StoreWriter) -> None:
        """Say which images there are, take over durable parts, and copy what an earlier store knows."""
        own = OWN_GROUP in self.dataset.info.counts
        # Labels of own images may change; they live in a task beside the store, not in it.
        writer.groups(
            {
                group: GroupSpec(self.dataset.ids(group), None if own else self.dataset.labels(group))
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

    def _publish(
        self, target: _Target, writer: StoreWriter, choice: Choice, figures: Figures, cost: Energy
    ) -> StoreOutcome:
        resumed = writer.resumed
        environment = asdict(describe_machine(self.device)) | {
            "seconds": figures.seconds,
            "images": figures.embedded,
            "images_per_second": figures.images_per_second,
            "stages": figures.stages,
            "energy_wh": cost.watt_hours,
            "energy_method": cost.method,
            "peak_memory_bytes": peak_memory(self.device),
            **choice.settings.to_dict(),
        }
        writer.publish({"environment": environment})
        lookup.remember_store(self.root, target.asked.to_dict(), target.path)
        return replace(
            _reused(target.path, target.view),
            action="resume" if resumed else "compute",
            embedded=figures.embedded,
            copied=target.copied,
            seconds=figures.seconds,
            images_per_second=figures.images_per_second,
            watt_hours=cost.watt_hours,
            energy_method=cost.method,
        )


def _reused(path: Path, view: View) -> StoreOutcome:
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
        bad=tuple(BadImage(bad["id"], bad["reason"]) for bad in header.info.get("bad_images", ())),
    )
