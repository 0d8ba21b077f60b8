"""The commands, and how an error reaches the user: in one line, with exit code 1."""

from __future__ import annotations

import ast
import os
import sys
import traceback
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

HELP = (
    "Entropy-driven active learning of interatomic potentials. "
    "Start with: entropy-flows init silicon"
)
CAMPAIGN_MODULES = (
    "init",
    "student",
    "environment",
    "check",
    "launchers",
    "project",
    "submit",
    "run",
    "status",
    "show",
    "pause",
    "resume",
    "cancel",
    "approve",
    "exclude",
    "include",
    "retrain",
    "list",
    "fork",
    "delete",
    "repair",
    "verify",
)
"""Modules of the commands that run a campaign."""
RESULT_MODULES = (
    "model",
    "export",
    "report",
    "serve",
    "curve",
    "agnostic",
    "bench_selectors",
    "select",
    "diversity",
    "novelty",
    "physics",
    "database",
    "importing",
)
"""Modules of the commands that work with cells and results."""
MODULES = {
    "import" if module == "importing" else module.replace("_", "-"): module
    for module in (*CAMPAIGN_MODULES, *RESULT_MODULES)
}
"""Name of a command → module in this folder that has it as `command`."""


class CommandGroup(TyperGroup):
    """The commands; the module of one is imported when it is called, and for its own help.

    Types are `Any` where Typer has those of click: which click that is depends on its version.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands in the order of the help."""
        return list(MODULES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command by its name; None if there is none."""
        if cmd_name in self.commands:
            return self.commands[cmd_name]
        if cmd_name not in MODULES:
            return None
        module = import_module(f"entropy_flows.cli.{MODULES[cmd_name]}")
        program = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        program.command(name=cmd_name)(module.command)
        command: Any = typer.main.get_command(program)
        command.help = unwrapped(command.help or "")
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the list of commands without importing one."""
        self.commands = _summaries()
        super().format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Complete the name of a command without importing one."""
        self.commands = _summaries()
        return super().shell_complete(ctx, incomplete)


def unwrapped(text: str) -> str:
    """Join the lines of each paragraph: a help is wrapped to its terminal, not to our source."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _summaries() -> dict[str, Any]:
    """Return all commands by name, which have a summary for a help and nothing else."""
    return {name: TyperCommand(name, help=summary(module)) for name, module in MODULES.items()}


def summary(module: str) -> str:
    """Read the first line of a command's docstring from its source."""
    spec = find_spec(f"entropy_flows.cli.{module}")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module for the command {module!r}")
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "command":
            return (ast.get_docstring(node) or "").partition("\n")[0]
    raise AttributeError(f"{spec.origin} has no function `command`")


app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help=HELP,
)


@app.callback()
def _commands() -> None:
    """Make a group of `app`, which has no command of its own."""


def main() -> None:
    """Run a command; ENTROPY_FLOWS_DEBUG=1 shows the traceback of an error."""
    warnings.filterwarnings("ignore")
    try:
        app()
    except KeyboardInterrupt:
        print("interrupted; run the same command again to continue", file=sys.stderr)
        sys.exit(130)
    except Exception as err:
        if os.environ.get("ENTROPY_FLOWS_DEBUG"):
            traceback.print_exc()
        print(f"error: {_message(err)}", file=sys.stderr)
        sys.exit(1)


def _message(err: Exception) -> str:
    """Write an error in one line, without a password."""
    from pymongo.errors import ConnectionFailure

    from entropy_flows.params import one_line, screenful
    from entropy_flows.store.uri import masked

    name = type(err).__name__
    if isinstance(err, ConnectionFailure):
        return f"the database stopped answering ({name}); run again to continue"
    message = one_line(err) if isinstance(err, ValueError) else screenful(str(err))
    return masked(message) or name
