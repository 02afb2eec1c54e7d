"""The network that was loaded last, kept for whoever asks for it again: a study sends many datasets through one."""

from __future__ import annotations

from functools import partial
from typing import Any

from medfeat.backbones import Backbone, brings_weights, split_part
from medfeat.extraction.ask.remembered import file_identity
from medfeat.types import Progress


class LastLoaded:
    """Keeps one network, as it was loaded: whoever runs it runs a copy."""

    def __init__(self) -> None:
        self._asked: dict[str, Any] = {}
        self._backbone: Backbone | None = None

    def load(self, name: str, load: partial[Backbone], progress: Progress) -> Backbone:
        """Return what loading gives, or gave when the same was asked for last.

        Parameters
        ----------
        name
            Of the backbone. What a program or a package calls so may be another network today: it is loaded each time.
        load
            `medfeat.backbones.load_backbone` with all but its progress; what it asks for is compared.
        progress
            Told of what is downloaded.
        """
        asked = {} if brings_weights(name) else _asked(name, load)
        if self._backbone is None or not asked or asked != self._asked:
            self.forget()  # two are never held
            self._backbone = load(progress=progress)
            self._asked = asked
        return self._backbone

    def forget(self) -> None:
        """Make room."""
        self._asked, self._backbone = {}, None


def _asked(name: str, load: partial[Backbone]) -> dict[str, Any]:
    """Return what is asked; a file of weights may have changed since, which its stamp tells."""
    weights = load.keywords.get("weights")
    file = None if weights is None or str(weights) == "random" else file_identity(split_part(weights)[0])
    return {"name": name, **load.keywords, "file": file}
