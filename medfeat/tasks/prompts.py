"""Texts for the classes of a task: by the table of the 18 sets, or from a file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from medfeat.errors import DataError, UsageError
from medfeat.tasks.prompts_table import TABLE, WITHOUT
from medfeat.types import Task
from medfeat_cache import canonical_json
from medfeat_cache.reading import read_json

_FORM = '{"templates": ["an image of {}"], "classes": {"CLASS": ["a phrase"]}, "without": ["an image without {}"]}'


@dataclass(frozen=True)
class Prompts:
    """The texts that stand for the classes of a task.

    Attributes
    ----------
    classes
        For each class in the task's order its texts: every template with every phrase.
    without
        For each label the texts that say it is not there; empty where an image has one class.
    """

    classes: tuple[tuple[str, ...], ...]
    without: tuple[tuple[str, ...], ...] = ()

    @property
    def digest(self) -> str:
        """32 hexadecimal digits over all texts in their order."""
        return hashlib.blake2b(canonical_json(asdict(self)).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class PromptTable:
    """Templates with ``{}`` for a phrase, phrases by class, and templates that say a label is not there."""

    templates: tuple[str, ...]
    classes: Mapping[str, tuple[str, ...]]
    without: tuple[str, ...] = ()
    origin: str = field(default="", compare=False)

    def of(self, task: Task) -> Prompts:
        """Return the texts for a task's classes.

        Raises
        ------
        UsageError
            A class has no phrases, a task of several labels no texts without them, or the task has no classes.
        """
        if task.task_type == "regression":
            raise UsageError("numbers have no texts: ask with classes, or take another head")
        lacking = [name for name in task.classes if not self.classes.get(name)]
        if lacking:
            raise UsageError(
                f"{self.origin} has no phrases for {', '.join(map(repr, lacking[:3]))}: give them with --prompts "
                f"FILE.json, {_FORM}"
            )
        several = task.task_type == "multi-label"
        if several and not self.without:
            raise UsageError(f'{self.origin} says not how a text is without a label: add "without", {_FORM}')
        phrases = [self.classes[name] for name in task.classes]
        return Prompts(
            tuple(_filled(self.templates, some) for some in phrases),
            tuple(_filled(self.without, some) for some in phrases) if several else (),
        )


def _filled(templates: tuple[str, ...], phrases: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.replace("{}", phrase) for one in templates for phrase in phrases))


def prompts_for(dataset: str, file: str | Path | None = None) -> PromptTable:
    """Return the texts of a dataset: those of a file, else those of the 18 sets.

    Raises
    ------
    UsageError
        No file, and no texts are known of this dataset.
    DataError
        A file of another form.
    """
    if file is not None:
        return _from_file(Path(file))
    if dataset not in TABLE:
        raise UsageError(f"no texts are known of the classes of {dataset}: give them with --prompts FILE.json, {_FORM}")
    templates, classes = TABLE[dataset]
    return PromptTable(templates, classes, WITHOUT.get(dataset, ()), f"the table of {dataset}")


def _from_file(path: Path) -> PromptTable:
    try:
        stored = read_json(path)
    except FileNotFoundError as error:
        raise UsageError(f"--prompts {path} is not there: name a JSON file, {_FORM}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"--prompts {path} cannot be read as JSON ({type(error).__name__}): {_FORM}") from error
    if not isinstance(stored, dict):
        raise DataError(f"--prompts {path} holds a {type(stored).__name__}: it must be of the form {_FORM}")
    strange = sorted(set(stored) - {"templates", "classes", "without"})
    if strange:
        raise DataError(f"--prompts {path} holds {', '.join(map(repr, strange))}: it must be of the form {_FORM}")
    classes = stored.get("classes")
    if not isinstance(classes, dict) or not classes:
        raise DataError(f'--prompts {path} must hold phrases by class under "classes": {_FORM}')
    return PromptTable(
        _texts(path, "templates", stored.get("templates", ["{}"]), template=True),
        {str(name): _texts(path, f"classes, {name!r}", phrases) for name, phrases in classes.items()},
        _texts(path, "without", stored.get("without", []), template=True, empty=True),
        f"--prompts {path}",
    )


def _texts(path: Path, where: str, given: Any, *, template: bool = False, empty: bool = False) -> tuple[str, ...]:
    texts = [given] if isinstance(given, str) else given
    good = isinstance(texts, list) and all(isinstance(one, str) and one.strip() for one in texts) and (texts or empty)
    if not good:
        raise DataError(f"--prompts {path}: {where} must be a text or a list of texts, got {str(given)[:40]!r}")
    bare = [one for one in texts if template and "{}" not in one and where == "templates"]
    if bare:
        raise DataError(f"--prompts {path}: {where} must have {{}} where a phrase goes, got {bare[0]!r}")
    return tuple(texts)
