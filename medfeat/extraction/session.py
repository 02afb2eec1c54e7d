"""One dataset through one backbone: look, load, decide, run, publish; one store for each view asked for."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

from medfeat.backbones import brings_weights, describe, load_backbone
from medfeat.backbones.features.pooling import PROJECTED
from medfeat.errors import DataError, first_line
from medfeat.extraction.ask import remembered as lookup
from medfeat.extraction.ask.asked import describe_request, unfinished_precision, unfinished_settings
from medfeat.extraction.ask.colours import colour_views
from medfeat.extraction.ask.request import Request, StoreOutcome
from medfeat.extraction.ask.run_settings import RunSettings
from medfeat.extraction.ask.store_plan import Asked, build_recipe
from medfeat.extraction.loop.one_pass import BegunElsewhere, Pass, Target, found, reused
from medfeat.extraction.loop.several.several_devices import SeveralDevices
from medfeat.extraction.measure.choose import Chooser
from medfeat.extraction.measure.memory import RUNS_AS, Memory, remembered
from medfeat.extraction.measure.sample import read_sample
from medfeat.extraction.measure.trial import Decision
from medfeat.extraction.network.build import make_embedder
from medfeat.extraction.network.compiling import compile_problem
from medfeat.extraction.network.device import is_out_of_memory, machine_facts, settings_here
from medfeat.extraction.network.devices import settings_on
from medfeat.extraction.network.forward import RowEmbedder
from medfeat.extraction.network.layers_meant import with_layers
from medfeat.extraction.network.loaded import LastLoaded
from medfeat.extraction.network.volumes import views_for
from medfeat.saying import SaidOnce
from medfeat.types import Dataset, Precision, Progress, View
from medfeat_cache import find_stores, recipe_digest, store_path, tidy

if TYPE_CHECKING:
    import torch


def embed(
    dataset: Dataset,
    backbone: str,
    request: Request,
    *,
    root: Path,
    device: torch.device,
    progress: Progress,
    beside: Sequence[torch.device] = (),
    of_weights: SaidOnce | None = None,
    loaded: LastLoaded | None = None,
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
    beside
        More devices: each of all of them then gets a process of its own, over images of its own.
    of_weights
        Hears what was left out of weights, or changed, which is the same for every dataset; None is `progress`.
    loaded
        Keeps the network for the next dataset; None keeps none.

    Returns
    -------
    list[StoreOutcome]
        One a view, in the order asked for; those of a word such as ``quarter`` by depth.
    """
    request = with_layers(request, backbone, progress)
    asked = {view: describe_request(dataset, backbone, request, view) for view in request.views}
    # A name of a library stands for one network for ever. What a package or a program calls so may be another one
    # today: it is built, and its store found by what it is.
    fresh = request.recheck or brings_weights(backbone)
    notes = {} if fresh else {v: lookup.remembered_store(root, a.to_dict()) for v, a in asked.items()}
    outcomes: dict[View, StoreOutcome] = {}
    for view, path in notes.items():
        if path is not None:
            tidy(path)  # its writer may have been killed after the note, with the lock still there
            outcomes[view] = reused(path, view)
    left = {view: question for view, question in asked.items() if view not in outcomes}
    once = of_weights or SaidOnce(progress)
    for together in _by_network(left):
        session = _Session(
            dataset, backbone, request, together,
            root=root, devices=(device, *beside), progress=progress, of_weights=once, loaded=loaded or LastLoaded(),
        )  # fmt: skip
        outcomes |= session.run()
    return [outcomes[view] for view in request.views]


def _by_network(asked: dict[View, Asked]) -> list[dict[View, Asked]]:
    """Group views by the network they need: the projection to a space of texts is that of a larger one."""
    groups = [{view: a for view, a in asked.items() if (view.pool == PROJECTED) is wanted} for wanted in (False, True)]
    return [group for group in groups if group]


# Weights-free backbones do so little per image that neither number matters.
_RAW_BATCH = 64


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
        devices: tuple[torch.device, ...],
        progress: Progress,
        of_weights: SaidOnce,
        loaded: LastLoaded,
    ) -> None:
        self.dataset, self.name, self.request, self.asked = dataset, name, request, asked
        self.root, self.devices, self.progress = root, devices, progress
        self.device = devices[0]  # the one that is measured
        self.since: float | None = time.perf_counter()
        self.copies = next(iter(asked.values())).copies  # the same for all views
        self.total = sum(dataset.info.counts.values())
        if self.total == 0:
            raise DataError(f"{dataset.info.name} holds no images: nothing to embed")
        progress.start(1, f"loading {name}", "networks")
        self.load = partial(
            load_backbone,
            name,
            views=colour_views(views_for(tuple(asked), dataset.info, describe(name)), dataset, name),
            weights=request.weights,
            seed=request.seed,
            adapt=request.adapt,
            offline=request.offline,
            trust_remote_code=request.trust_remote_code,
        )
        self.backbone = loaded.load(name, self.load, progress)
        progress.finish()
        for line in self.backbone.reported:
            # that published weights come with a classifier is no news
            if request.weights is not None or not line.startswith("classifier"):
                of_weights.say(line)

    def run(self) -> dict[View, StoreOutcome]:
        """Find what the weights' digest reveals to be there already, and make the rest."""
        choice: Decision | None = None
        precision = self._known_precision()
        if precision is None:
            with self._measuring():
                choice = self._chooser().choose("auto")
            precision = choice.settings.precision
        targets = self._targets(precision)
        there = [target for target in targets if target.path.is_file()]
        outcomes = {target.view: found(target, self.root) for target in there}
        missing = [target for target in targets if target not in there]
        for last in (False, True):
            begun_elsewhere: list[Target] = []
            for settings, together in _by_settings(missing).items():
                made = self._settled(settings) or choice
                if made is None:
                    with self._measuring():
                        made = self._chooser().choose(precision)
                run = self._pass(made, begun=settings)
                self.since = None  # of several passes the first has the start
                try:
                    outcomes |= run.make(together, source=self.request.source)
                except BegunElsewhere:
                    # Another process began these stores, with settings of its own, while we measured or waited.
                    if last:
                        raise
                    begun_elsewhere += together
            missing, choice = begun_elsewhere, None
        return outcomes

    def _pass(self, made: Decision, *, begun: RunSettings | None) -> Pass:
        several = None
        if len(self.devices) > 1:
            several = SeveralDevices(
                devices=self.devices, name=self.name, load=self.load, fit=self.request.fit, copies=self.copies
            )
            made = replace(made, settings=settings_on(made.settings, self.devices))
        return Pass(
            self.dataset,
            self.backbone,
            made,
            begun=begun,
            root=self.root,
            progress=self.progress,
            several=several,
            since=self.since,
        )

    def _known_precision(self) -> Precision | None:
        """Return the precision that needs no measurement: as asked, raw, or that of an interrupted run."""
        if self.backbone.takes_raw:
            return "fp32"
        if self.request.precision != "auto":
            return self.request.precision  # type: ignore[return-value]  # checked where it was typed
        return unfinished_precision(self.root, list(self.asked.values())) or self._answered_precision()

    def _answered_precision(self) -> Precision | None:
        """Return what `auto` came to in a store of the same images and weights, wherever their files lay then."""
        if self.request.recheck:
            return None
        for header in find_stores(self.root, dataset=self.dataset.info.name, backbone=self.backbone.info.name):
            found = cast(Precision, header.recipe.get("precision"))
            measured = (header.info.get("asked") or {}).get("precision") == "auto"
            if measured and found in get_args(Precision) and any(t.path == header.path for t in self._targets(found)):
                return found
        return None

    def _targets(self, precision: Precision) -> list[Target]:
        targets = []
        for index, (view, resolved) in enumerate(zip(self.asked, self.backbone.views, strict=True)):
            recipe = build_recipe(
                self.dataset.info,
                self.backbone.info,
                resolved,
                fit=self.request.fit,
                precision=precision,
                dtype=self.request.dtype,
                copies=self.copies,
            ).to_dict()
            path = store_path(self.root, self.dataset.info.name, self.backbone.info.name, recipe_digest(recipe))
            depth = self.request.depth.get(view.layer or "", {})
            targets.append(Target(index, view, self.asked[view], recipe, path, depth))
        return targets

    @contextmanager
    def _measuring(self) -> Iterator[None]:
        """Measure under a bar that says so: that takes seconds in which nothing else is told.

        Whoever measures has no name there, and goes with all it took: a sample of the images and copies of the network
        would be held beside the pass.
        """
        self.progress.start(1, f"measuring {self.name}: batch size, precision", "measurements")
        try:
            yield
        finally:
            self.progress.finish()

    def _chooser(self) -> Chooser:
        info = self.dataset.info
        return Chooser(
            make=self._build,
            read=lambda: read_sample(self.dataset),
            total=self.total,
            batch_size=self.request.batch_size,
            problem=compile_problem(self.device) if self.request.compile else "compiling was not wanted",
            device=self.device,
            progress=self.progress,
            volumes=info.ndim == 3,
            data=info.name,
            memory=self._memory(),
            image_bytes=info.size**2 * max(info.channels, 1) if info.ndim == 2 else 0,
        )

    def _memory(self) -> Memory:
        """Return what is remembered of this network, on this machine, of images of this form."""
        info = self.dataset.info
        facts = {
            "runs_as": RUNS_AS,
            "machine": machine_facts(self.device),
            "network": asdict(self.backbone.info),
            "views": [asdict(view) for view in self.backbone.views],
            "fit": self.request.fit,
            "copies": self.copies,
            "batch_size": self.request.batch_size,
            "form": [info.ndim, info.size, info.channels],
        }
        # as JSON gives them back
        memory, problem = remembered(self.root, json.loads(json.dumps(facts)))
        if problem:
            self.progress.say(problem)
        return memory.forgotten() if self.request.recheck else memory

    def _build(self, precision: Precision, batch_size: int, *, compiled: bool, copied: bool) -> RowEmbedder:
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
            copies=self.copies,
        )

    def _settled(self, begun: RunSettings | None) -> Decision | None:
        """Return what needs no measurement: an interrupted run goes on as it was begun, raw images as they are."""
        if begun is not None:
            return self._continued(begun)
        if self.backbone.takes_raw:
            plain = settings_here(self.device, "fp32", self.request.batch_size or _RAW_BATCH, False, _RAW_BATCH)
            return Decision(plain, self._build("fp32", plain.batch_size, compiled=False, copied=True))
        return None

    def _continued(self, begun: RunSettings) -> Decision:
        """Go on with the settings a store was begun with, as far as this machine can."""
        compiled = begun.compiled and self.request.compile and compile_problem(self.device) is None
        if self.request.batch_size not in (None, begun.batch_size):
            self.progress.say(f"resuming with the batch size this store was begun with: {begun.batch_size}")
        embedder = self._compiled_again(begun) if compiled else None
        asked, parts, compiled = (begun.precision, begun.batch_size), begun.part_batches, embedder is not None
        runs = embedder or self._build(*asked, compiled=False, copied=True)
        return Decision(settings_here(self.device, *asked, compiled, parts, fused=runs.fused), runs)

    def _compiled_again(self, begun: RunSettings) -> RowEmbedder | None:
        """Compile as an interrupted run had done; None where that fails on this machine, which eager does not."""
        self.progress.say(f"compiling {begun.precision} as this store was begun ...")
        try:
            embedder = self._build(begun.precision, begun.batch_size, compiled=True, copied=True)
            embedder(read_sample(self.dataset)[:1])
        except Exception as error:
            if is_out_of_memory(error):
                raise
            self.progress.say(f"torch.compile failed ({first_line(error)}): running eager")
            return None
        return embedder


def _by_settings(targets: list[Target]) -> dict[RunSettings | None, list[Target]]:
    """Group stores by the settings that an interrupted run left them with: each group takes a pass of its own."""
    groups: dict[RunSettings | None, list[Target]] = {}
    for target in targets:
        groups.setdefault(unfinished_settings(target.path), []).append(target)
    return groups
