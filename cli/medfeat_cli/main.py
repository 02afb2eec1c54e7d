"""The `medfeat` command: its sub-commands, and how errors reach a person."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from itertools import pairwise
from types import FrameType
from typing import Annotated

import typer

from medfeat_cli import output
from medfeat_cli.commands import register
from medfeat_cli.helping import HelpfulGroup
from medfeat_cli.room_for_scipy import ask_for_room_first

_NAME = "medfeat"
app = typer.Typer(
    name=_NAME,
    cls=HelpfulGroup,
    help="Embed every medical image once with a frozen backbone, keep the vectors, probe them in seconds.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
register(app)


_INTERRUPTED, _TERMINATED = 130, 143
# Shorter slows a machine that nobody else uses, longer one that others use: decision 0060.
_SPINS = "3000"
_NO_MEMORY = "memory ran out: end other programs, or do it on a machine with more memory"
# What a folder that cannot be written raises, and a file in the place of a folder.
_FORBIDDEN = (PermissionError, NotADirectoryError, FileExistsError)
# Commands that keep what they have finished, piece by piece.
_GOES_ON = frozenset({"extract", "probe", "finetune", "demo", "study"})
_STOPPED = {_INTERRUPTED: "Ctrl-C", _TERMINATED: "SIGTERM"}


class _Terminated(BaseException):
    """SIGTERM, as a scheduler sends it: unwinds like Ctrl-C, so that locks are released and parts stay whole."""


def _version(value: bool) -> None:
    if value:
        from medfeat import __version__

        typer.echo(f"medfeat {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", "-V", help="Show the version and stop.", callback=_version, is_eager=True
    ),
) -> None:
    """Embed every medical image once with a frozen backbone, keep the vectors, probe them in seconds."""


@app.command("help")
def _help(
    command: Annotated[list[str] | None, typer.Argument(help="Of which; none means medfeat itself.")] = None,
) -> None:
    """Show what a command does and takes, as `--help` behind it.

    Example: medfeat help cache ls
    """
    app([*(command or []), "--help"], standalone_mode=False, prog_name=_NAME)


def main() -> None:
    """Run the command line; errors are one line on stderr, those nobody foresaw with a traceback on demand."""
    signal.signal(signal.SIGTERM, _on_sigterm)
    output.speak_safely()
    _keep_libraries_quiet()
    _let_waiting_threads_sleep()
    sys.exit(run(sys.argv[1:]))


def _keep_libraries_quiet() -> None:
    """Keep what libraries warn programmers of away from people; `-W`, PYTHONWARNINGS or MEDFEAT_DEBUG bring it back."""
    if not sys.warnoptions and os.environ.get("MEDFEAT_DEBUG", "") in ("", "0"):
        warnings.simplefilter("ignore")
        os.environ.setdefault("TORCH_LOGS", "-all")  # errors alone; torch reads it when it is imported


def _let_waiting_threads_sleep() -> None:
    """Have threads that wait for one another spin for a moment, and then sleep, if nobody said how they should.

    GNU's OpenMP, which torch, xgboost and scikit-learn use on Linux, reads it when it is loaded. By itself it spins for
    milliseconds, which is time that the thread it waits for may lack on a machine that others use.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code: 0 fine, 1 failed, 2 asked wrongly, 130 Ctrl-C, 143 SIGTERM."""
    code, said = 0, ""
    ask_for_room_first()
    try:
        code = int(app(arguments, standalone_mode=False, prog_name=_NAME) or 0)
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except _Terminated:
        code = _TERMINATED
    except BrokenPipeError:
        # The reader of our output went away (`| head`); there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as problem:
        if _is_help(problem):
            return 0
        found = _exit_code(problem)
        code = 1 if found is None else found
        try:
            said = _one_line(problem) if found is not None else _unforeseen(problem)
        except MemoryError:
            said = _NO_MEMORY
    # Typer turns Ctrl-C into an exit code of its own accord, so the code is what is looked at.
    if code in _STOPPED:
        said = f"stopped by {_STOPPED[code]}; {_what_stays(arguments)}"
    if said:
        _tell(said, code, arguments)
    return code


def _tell(said: str, code: int, arguments: list[str]) -> None:
    """Say what went wrong, also where there is not even memory enough to say it well."""
    try:
        output.error(said)
        if _wants_json(arguments):
            output.json_error(said, code)
    except MemoryError:
        sys.stderr.write(f"medfeat: {_NO_MEMORY}\n")


def _what_stays(arguments: list[str]) -> str:
    """Say what is left of a command that was stopped: most have nothing to go on from."""
    name = next((word for word in arguments if not word.startswith("-")), "")
    if name in _GOES_ON and not any(word.startswith("--fuse") for word in arguments):
        return "what was finished is kept: the same command goes on from there"
    return "nothing of it was kept: the same command begins anew"


def _is_help(problem: Exception) -> bool:
    """Whether a command that needs more words was given alone: its help has been shown, and nothing went wrong."""
    return hasattr(problem, "format_message") and not problem.format_message()


def _wants_json(arguments: list[str]) -> bool:
    """Whether the result was asked for as JSON, however the rest was spelled: then an error is JSON too."""
    forms = {"--format=json"} | {
        "--format" for form, word in pairwise(arguments) if (form, word) == ("--format", "json")
    }
    return not {"--json", *forms}.isdisjoint(arguments)


def _exit_code(problem: Exception) -> int | None:
    """Return the exit code of an error that a user can cause or cure, None for a bug of ours."""
    if isinstance(problem, typer.Abort):
        return 1
    if hasattr(problem, "format_message"):  # what typer raises for options it cannot parse
        return 2
    code = getattr(problem, "exit_code", None)
    if isinstance(code, int):
        return code
    return 1 if isinstance(problem, OSError) or _is_homeless(problem) else None


def _is_homeless(problem: Exception) -> bool:
    """Whether pathlib, here or in a library, looked for a home folder and found none."""
    return isinstance(problem, RuntimeError) and "home directory" in str(problem)


def _unforeseen(problem: Exception) -> str:
    """Return a bug of ours as one line; raise it where tracebacks were asked for."""
    from medfeat.workflows.jobs.unforeseen import debugging, in_one_line

    if debugging():
        raise problem
    return in_one_line(problem)


def _one_line(problem: Exception) -> str:
    if isinstance(problem, typer.Abort):
        return "nothing was done"
    if hasattr(problem, "format_message"):
        context = getattr(problem, "ctx", None)
        return f"{problem.format_message()} (see `{_NAME if context is None else context.command_path} --help`)"
    if _is_homeless(problem):
        return "no home folder is known: set HOME to a folder that can be written"
    if type(problem) in _FORBIDDEN and isinstance(problem, OSError) and problem.filename:
        return f"{problem.filename}: {problem.strerror}; stores go to another place by --cache-dir or MEDFEAT_CACHE"
    return " ".join(str(problem).split())


def _on_sigterm(_signal: int, _frame: FrameType | None) -> None:
    raise _Terminated
