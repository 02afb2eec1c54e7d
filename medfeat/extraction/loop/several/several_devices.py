"""A pass on several devices: whether it is worth their processes, which images each gets, and what all of them need."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medfeat.backbones import brings_weights
from medfeat.backbones.backbone_table import BACKBONES
from medfeat.extraction.loop.several.messages import Job
from medfeat.extraction.loop.several.processes import EmbeddedTogether, embed_together
from medfeat.extraction.loop.several.shares import batches_a_part, pieces_of
from medfeat.extraction.measure.trial import Decision
from medfeat.types import Dataset, Fit, Progress
from medfeat_cache import StoreWriter

if TYPE_CHECKING:
    import torch

    from medfeat.backbones import Backbone

# A process needs seconds to begin, and a part takes about ten: of less than a part, one device makes short work.
_LEAST_PARTS = 1


@dataclass(frozen=True, kw_only=True)
class SeveralDevices:
    """More than one device, and how the process of each comes to the network.

    Attributes
    ----------
    devices
        One a process; named twice, it has two.
    name, load
        Of the backbone, and what loads it as it was loaded here.
    fit, copies
        As `medfeat.extraction.network.build.make_embedder` takes them.
    """

    devices: tuple[torch.device, ...]
    name: str
    load: Callable[[], Backbone]
    fit: Fit
    copies: str

    def embed(
        self,
        dataset: Dataset,
        choice: Decision,
        running: Mapping[int, StoreWriter],
        *,
        fingerprint: str,
        progress: Progress,
    ) -> EmbeddedTogether | None:
        """Embed what the writers miss, as `medfeat.extraction.loop.embed_rows.extract_rows` does in one process.

        Parameters
        ----------
        dataset, running, progress
            As that takes them.
        choice
            How to run; its network makes room, for it runs elsewhere.
        fingerprint
            Of its parameters and buffers.

        Returns
        -------
        EmbeddedTogether | None
            None when one process should do it, which has been told.

        Raises
        ------
        MedfeatError
            As `medfeat.extraction.loop.several.processes.embed_together` says.
        """
        import torch

        settings, size = choice.settings, choice.embedder.batch_size
        missing = {group: _missing(running, group) for group in dataset.info.counts}
        batches = sum(-(-len(rows) // size) for rows in missing.values())
        job = Job(
            dataset=dataset,
            load=self.load,
            fit=self.fit,
            copies=self.copies,
            settings=settings,
            fingerprint=fingerprint,
            recipes={view: writer.manifest.recipe for view, writer in running.items()},
            part_batches=batches_a_part(batches, len(self.devices), settings.part_batches),
        )
        pieces = pieces_of(missing, job.part_batches * size)
        alone = self._reason_for_one(job, batches, len(pieces))
        if alone:
            progress.say(f"{alone}: one process, on {self.devices[0]}")
            return None
        if choice.embedder.device.type == "cuda":
            choice.embedder.module.to("cpu")
            torch.cuda.empty_cache()
        return embed_together(
            job,
            pieces,
            running,
            devices=[str(device) for device in self.devices[: len(pieces)]],
            threads=max(1, torch.get_num_threads() // len(self.devices)),
            progress=progress,
        )

    def _reason_for_one(self, job: Job, batches: int, pieces: int) -> str:
        """Say why one process should do it; nothing when several should."""
        if pieces < 2 or batches <= _LEAST_PARTS * job.settings.part_batches:
            return "so few images are not worth a process for each device"
        if brings_weights(self.name) and self.name not in BACKBONES.packages():
            return f"{self.name} was made in this program, and no other process can load it"
        try:
            pickle.dumps(job)
        except Exception:  # whatever the images are made of runs here
            return f"the images of {job.dataset.info.name} are held by this program, and no other process can read them"
        return ""


def _missing(running: Mapping[int, StoreWriter], group: str) -> NDArray[np.int64]:
    return reduce(np.union1d, [writer.missing_rows(group) for writer in running.values()])
