"""A program whose commands are imported when they are called, so that ``--help`` needs none of their libraries."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click
import typer


class LazyGroup(click.Group):
    """A group of commands, each a function of a module that is imported when the command runs.

    Parameters
    ----------
    help : str
        What the program is for.
    functions : mapping of str to (str, str)
        Command -> ``package.module:function`` and one line of help.
    """

    def __init__(self, help: str, functions: Mapping[str, tuple[str, str]]) -> None:
        super().__init__(help=help, no_args_is_help=True)
        self.functions = functions

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order in which a user needs them."""
        return list(self.functions)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None if there is no such command."""
        if cmd_name not in self.functions:
            return None
        module, _, function = self.functions[cmd_name][0].partition(":")
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        single.command(cmd_name)(getattr(importlib.import_module(module), function))
        return typer.main.get_command(single)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an interrupt is one line (`run_app`), without the empty one that click writes before it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise click.Abort from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.functions.items()])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.main(*args, **kwargs)
