"""A study as a file: TOML whose keys are long options, each with one value or a list; grids are their products."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from medfeat.errors import MissingFileError, UsageError, unknown_name
from medfeat.workflows.asking.given_names import refuse_objects
from medfeat.workflows.studying.keys import Value, checked_values, refuse_idle

GRID = "grid"
"""The table that may stand several times: each has the keys above all of them, and its own."""
_MOST_BYTES = 1 << 20
_STUDIES = "medfeat.studies"


@dataclass(frozen=True)
class Study:
    """What is to be done.

    Attributes
    ----------
    name
        Of the file, without its ending; or of a ready-made one.
    text
        The file as it is.
    grids
        Values by long option.
    """

    name: str
    text: str
    grids: tuple[Mapping[str, tuple[Value, ...]], ...]

    @classmethod
    def of(cls, name: str, text: str) -> Study:
        """Read the text of a study.

        Raises
        ------
        UsageError
            It is no TOML, or says what no study can: the message names the key and the nearest that is allowed.
        """
        where = f"study {name}"
        try:
            said = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{where} is no TOML: {error}") from error
        grids = said.pop(GRID, [{}])
        if not (isinstance(grids, list) and all(isinstance(one, dict) for one in grids)):
            raise UsageError(f"{where}: {GRID!r} must be tables, each headed by [[{GRID}]]")
        shared = {key: checked_values(key, given, where) for key, given in said.items()}
        found = []
        for grid in grids:
            found.append(shared | {key: checked_values(key, given, where) for key, given in grid.items()})
            refuse_idle(found[-1], where)
        return cls(name, text, tuple(found))


def study_named(which: str | Path | Study) -> Study:
    """Return the study of a file, or a ready-made one by its name; one that is given as it is stays so.

    Raises
    ------
    UsageError
        Neither, or a file that is no study.
    MissingFileError
        A file that is not there or cannot be read.
    """
    if isinstance(which, Study):
        return which
    refuse_objects(study=which)
    path, name = Path(which).expanduser(), str(which)
    if path.suffix != ".toml" and not path.is_file():
        if name not in ready_made():
            raise UsageError(f"{unknown_name('study', name, ready_made())}; or name a file that ends in .toml")
        return Study.of(name, resources.files(_STUDIES).joinpath(f"{name}.toml").read_text(encoding="utf-8"))
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UsageError(f"{path} is no study: it has {path.stat().st_size} bytes")
        return Study.of(path.stem, path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no study: it is no UTF-8 ({error.reason})") from error
    except OSError as error:
        raise MissingFileError(f"{path} cannot be read ({error.strerror}): give the file of a study") from error


def ready_made() -> list[str]:
    """Return the names of the studies that come with medfeat."""
    files = resources.files(_STUDIES).iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))
