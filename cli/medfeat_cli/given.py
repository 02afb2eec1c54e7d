"""Options that mean nothing without another one: given all the same, they are refused."""

from __future__ import annotations

import typer

# From the command line, and not from a default: an option that was given.
_COMMANDLINE = "COMMANDLINE"


def refuse_without(context: typer.Context, options: str, *, needs: str, there: bool) -> None:
    """Refuse options that would have no effect.

    Parameters
    ----------
    context
        Of the command.
    options
        Their names as parameters, with blanks between them.
    needs
        What gives them a meaning, in words.
    there
        Whether it is.

    Raises
    ------
    typer.BadParameter
        One was given, and what it needs was not.
    """
    if there:
        return
    given = [name for name in options.split() if _was_given(context, name)]
    if given:
        spelled = " and ".join(_spelled(context, name) for name in given)
        have = "has" if len(given) == 1 else "have"
        raise typer.BadParameter(f"{spelled} {have} no effect without {needs}: add that, or leave it out")


def _was_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == _COMMANDLINE


def _spelled(context: typer.Context, name: str) -> str:
    options = next(one.opts for one in context.command.params if one.name == name)
    return max(options, key=len)
