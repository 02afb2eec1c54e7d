"""A script for sbatch: an array of tasks, each of which is the same study and takes the cells that nobody else has."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medfeat.workflows.studying.cells import cells_of
from medfeat.workflows.studying.requests import check
from medfeat.workflows.studying.study_file import study_named
from medfeat_cache import resolve_root, slug
from medfeat_cache.commands import command_line

_SCRIPT = """\
#!/usr/bin/env bash
# Made by {made}
# Options of sbatch on its command line go before these: sbatch --partition=NAME THIS_FILE
#SBATCH --job-name={name}
#SBATCH --array=1-{tasks}
#SBATCH --output={name}-%A_%a.log
#SBATCH --cpus-per-task=4
{more}set -euo pipefail

cd {folder}
export OMP_NUM_THREADS="${{SLURM_CPUS_PER_TASK:-1}}"
# Within one array, a cell that failed is not tried again.
export MEDFEAT_STUDY_RUN="slurm-${{SLURM_ARRAY_JOB_ID:-$$}}"

# Each task looks for what is missing when it runs, and takes what nobody else has.
exec {command}"""


def script(which: str | Path, asked: Mapping[str, Any], *, tasks: int) -> str:
    """Return the script of a study.

    Parameters
    ----------
    which
        As `medfeat.workflows.study.study` takes it.
    asked
        Its further options, by their names as parameters; what is None is left out.
    tasks
        Of the array.
    """
    found = study_named(which)
    check(cells_of(found))
    path = Path(which).expanduser()
    place = path.absolute() if path.is_file() else which
    given: dict[str, Any] = {
        name: value.expanduser().absolute() if isinstance(value, Path) else value for name, value in asked.items()
    }
    # the cache that is meant here may be another one there
    given["cache_dir"] = resolve_root(given.get("cache_dir"))
    device = str(given.pop("device", "auto"))
    given["device"] = None if device == "auto" else device
    more = "#SBATCH --gres=gpu:1\n" if device.startswith("cuda") else ""
    if given.get("max_hours") is not None:  # some minutes more, to end the cell that runs
        more += f"#SBATCH --time={math.ceil(60 * float(given['max_hours'])) + 30}\n"
    line = command_line("study", place, **given).removeprefix("medfeat ")
    python = shlex.join([sys.executable, "-m", "medfeat"])
    return _SCRIPT.format(
        made=command_line("study", which, slurm=True, jobs=tasks),
        name=f"medfeat-{slug(found.name)}",
        tasks=tasks,
        more=more,
        folder=shlex.quote(str(Path.cwd())),
        command=f"{python} {line}",
    )
