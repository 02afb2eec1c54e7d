"""What the help of a command says of its options: a type only where there is something to type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup


class HelpfulGroup(TyperGroup):
    """A group that shows its switches, and those of its commands, by their names alone and not as `<bool>`."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return what stands before the name of a command."""
        return _untyped(super().get_params(ctx))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, or None where there is none of that name."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _untyped(command.get_params(ctx))
        return command


def _untyped(parameters: list[Any]) -> list[Any]:
    for one in parameters:
        if getattr(one, "is_flag", False) and one.metavar is None:
            one.metavar = ""
    return parameters


def at_least(least: int) -> Callable[[int], int]:
    """Return a check of a number; typer's own shows its bound among the types, in a column that all options pay for."""

    def check(value: int) -> int:
        if value < least:
            raise typer.BadParameter(f"must be {least} or more, got {value}")
        return value

    return check
