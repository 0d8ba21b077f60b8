"""`entropy-flows environment`: make, list and try environments for models of other Pythons."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from entropy_flows.report.terminal import terminal_table

if TYPE_CHECKING:
    from entropy_flows.environments.create import EnvironmentState


class Action(StrEnum):
    """Names of what the command does."""

    CREATE = "create"
    LIST = "list"
    CHECK = "check"


def command(
    action: Annotated[Action, typer.Argument(help="create, list or check.")],
    name: Annotated[
        str | None,
        typer.Argument(
            help="create: mace, chgnet, matgl, mattersim, metatrain, orb or torch-sim. "
            "check: a name or path."
        ),
    ] = None,
    called: Annotated[
        str | None, typer.Option("--name", help="create: another name for the environment.")
    ] = None,
    requirements: Annotated[
        Path | None,
        typer.Option(help="create: a requirements file of your own, instead of the one shipped."),
    ] = None,
    python: Annotated[
        str | None, typer.Option(help="create: the Python it has. Default: one that fits.")
    ] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="create: delete the environment of this name first.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(help="check: model to load, as in a campaign file; a mapping in JSON."),
    ] = None,
    element: Annotated[
        str, typer.Option(help="check: element whose crystal the model is timed on.")
    ] = "Si",
) -> None:
    """Make, list or try environments for models whose packages cannot be installed here.

    Example: entropy-flows environment create mace

    Example: entropy-flows environment check mace --model mace.model --element Cu
    """
    console = Console()
    if action is Action.LIST:
        _list(console)
    elif name is None:
        raise ValueError(f"environment {action.value}: expected a name, as `list` shows them")
    elif action is Action.CREATE:
        _create(console, name, called, requirements, python, anew)
    else:
        _check(console, name, model, element)


def _create(
    console: Console,
    name: str,
    called: str | None,
    requirements: Path | None,
    python: str | None,
    anew: bool,
) -> None:
    from entropy_flows.environments.create import create_environment
    from entropy_flows.environments.requirements_files import Requirements, shipped_requirements

    file = Requirements.read(requirements) if requirements else shipped_requirements(name)
    with console.status("installing; this takes minutes") as spinner:
        environment = create_environment(
            called or name, file, python, anew, lambda line: spinner.update(line)
        )
    console.print(f"environment {environment.title} is ready", soft_wrap=True, highlight=False)
    line = f"in a campaign file: base_model: {{name: …, environment: {environment.name}}}"
    console.print(line, soft_wrap=True, highlight=False)


def _list(console: Console) -> None:
    from entropy_flows.environments.create import list_environments
    from entropy_flows.environments.locate import environments_folder
    from entropy_flows.environments.requirements_files import requirements_names

    states = list_environments()
    console.print(f"environments in {environments_folder()}", soft_wrap=True, highlight=False)
    if states:
        header = ("name", "from", "Python", "packages")
        console.print(terminal_table([header, *(_row(state) for state in states)]))
    console.print(f"can be created: {', '.join(requirements_names())}", highlight=False)


def _row(state: EnvironmentState) -> tuple[str, ...]:
    packages = ", ".join(f"{name} {version}" for name, version in state.packages.items())
    made_from = state.requirements or "made by hand"
    origin = made_from if state.is_finished else "unfinished: create it again"
    return state.environment.name, origin, state.python, packages


def _check(console: Console, name: str, model: str | None, element: str) -> None:
    from entropy_flows.environments import find_environment
    from entropy_flows.environments.packages import environment_packages

    environment = find_environment(name)
    facts = environment_packages(environment)
    console.print(
        f"{environment.title}: Python {facts['python']}, {len(facts['packages'])} packages",
        soft_wrap=True,
        highlight=False,
    )
    chosen = model or _default_model(name)
    if chosen is None:
        console.print("no model was loaded: give --model, with the path of a model's file")
        return
    from entropy_flows.cli.environment_times import time_model

    with console.status(f"loading {chosen}"):
        rows = time_model(chosen, name, element)
    console.print(terminal_table(rows, chosen))


def _default_model(name: str) -> str | None:
    """Return the model that an environment's requirements file names for a check."""
    from entropy_flows.environments.create import list_environments
    from entropy_flows.environments.requirements_files import (
        requirements_names,
        shipped_requirements,
    )

    for state in list_environments():
        if state.environment.name == name and state.requirements in requirements_names():
            return shipped_requirements(state.requirements).model
    return None
