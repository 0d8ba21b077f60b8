"""`entropy-flows check`: everything that can be found out before anything runs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from entropy_flows.cli.check_cost import dataset_cost
from entropy_flows.cli.check_models import teacher_warnings
from entropy_flows.cli.check_seeds import check_seeds, vacuum_warnings
from entropy_flows.cli.options import CampaignFile, FolderOption
from entropy_flows.explore import condition_grid
from entropy_flows.fingerprints import make_fingerprint
from entropy_flows.geometry import shortest_distance, to_atoms
from entropy_flows.jobs.engine import same_engine
from entropy_flows.label import Engine, engine_of, make_static_maker
from entropy_flows.launch.queue_keys import check_queue
from entropy_flows.launch.seeds import seed_warnings
from entropy_flows.launch.session import session
from entropy_flows.launch.submit import locate_model
from entropy_flows.modules import use_folder
from entropy_flows.moments import summary
from entropy_flows.plugins import is_import_path
from entropy_flows.potentials import check_elements, check_name, match_model
from entropy_flows.report.terminal import terminal_table
from entropy_flows.schemas import Campaign, load_settings
from entropy_flows.schemas.named_code import modules_folder, named_code
from entropy_flows.store import CampaignStore
from entropy_flows.train import recipe_for, trainer_for

if TYPE_CHECKING:
    from jobflow import Maker


def command(
    file: CampaignFile,
    inputs: Annotated[
        Path | None,
        typer.Option(
            help="Write the label engine's inputs for the first seed cell into this folder."
        ),
    ] = None,
    launchers: Annotated[
        Path | None,
        typer.Option(
            help="Check the files that `entropy-flows launchers` wrote to this folder, too."
        ),
    ] = None,
    database: Annotated[
        bool,
        typer.Option(
            "--database", help="Compare with the campaign of this name in the database, too."
        ),
    ] = False,
    load: Annotated[
        bool,
        typer.Option(
            "--load", help="Import label engines and trainers of your own, which runs their code."
        ),
    ] = False,
    folder: FolderOption = None,
) -> None:
    """Validate a campaign file and print what would run and how large it is. Nothing is run.

    Modules of your own that the file names are found, but not imported unless --load is given.

    Example: entropy-flows check carbon.yaml --inputs inputs --launchers launchers
    """
    console = Console()
    campaign, seeds = preflight(file, load=load, console=console)
    unseen = (
        [] if load else [code for code in named_code(campaign, file.parent) if not code.trusted]
    )
    for code in unseen:
        _warn(
            console,
            f"{code.key} {code.path} was not looked into: importing it runs its code; check --load does",
        )
    console.print(
        f"[bold]{campaign.name}[/bold]: {', '.join(campaign.elements)}; base model {campaign.base_model}"
    )
    for role, name in _models(campaign).items():
        match = match_model(name)
        note = match.family.network_note(match.name) if match else None
        if note is not None:
            console.print(
                f"{role} {name} was not looked up: every worker needs the network for it. "
                f"Without: {note}",
                soft_wrap=True,
                highlight=False,
            )
    console.print(_phase_table(seeds))
    for warning in vacuum_warnings(campaign, seeds):
        _warn(console, warning)
    console.print(_size_table(campaign, list(seeds)))
    cost = dataset_cost(
        campaign.dataset, [to_atoms(cell) for cell in seeds.values()], _candidates(campaign, seeds)
    )
    console.print(cost, soft_wrap=True, highlight=False)
    if budget := campaign.stop.label_budget:
        console.print(f"label budget: {budget}")
    if any(code.is_engine for code in unseen):
        if inputs is not None or database:
            raise ValueError(
                f"{'--inputs' if inputs else '--database'} needs the label engine: add --load"
            )
    else:
        maker = make_static_maker(campaign.label)
        engine = engine_of(maker)
        console.print(f"labels by: {engine.name}")
        located = {
            role: locate_model(model, file.parent) for role, model in _models(campaign).items()
        }
        for warning in teacher_warnings(located, maker):
            _warn(console, warning)
        _tell_inputs(console, engine, next(iter(seeds.values())), inputs)
        if database:
            with session(file, folder, create=False) as opened:
                console.print(
                    _stored(opened.store, campaign, maker), soft_wrap=True, highlight=False
                )
    if launchers is not None:
        _tell_launchers(
            console, launchers, campaign, load_engine=not any(code.is_engine for code in unseen)
        )
    console.print("[green]ok[/green]")


def preflight(
    file: Path, load: bool = True, runs_here: bool = False, console: Console | None = None
) -> tuple[Campaign, dict[str, Any]]:
    """Everything that must hold before a campaign starts; what is to be told of its seeds is told as a warning.

    Parameters
    ----------
    file
        Campaign file.
    load
        Whether modules of the user's own that it names are imported; else what needs them is not
        looked at.
    runs_here
        Whether this machine's own workers will run it, so that the label engine must be on it.
    console
        Where warnings are told; None is the terminal.

    Returns
    -------
    tuple
        The campaign, and phase → seed cell.

    Raises
    ------
    ValueError
        In one line: what is wrong, where, and what was expected.
    EngineError
        If the label engine can write no seed's inputs, or is not on this machine if it must be.
    """
    campaign = load_settings(file)
    if not isinstance(campaign, Campaign):
        raise ValueError(
            f"{file} is a file of `entropy-flows agnostic`, not a campaign's: run it by that command"
        )
    check_queue(campaign.queue)
    base = file.parent
    unseen = (
        set() if load else {code.key for code in named_code(campaign, base) if not code.trusted}
    )
    if load:
        use_folder(modules_folder(campaign, base))
    models = {role: locate_model(name, base) for role, name in _models(campaign).items()}
    for role, model in models.items():
        if unseen & {role, f"{role}.family"}:
            continue
        try:
            check_name(model)
        except ValueError as err:
            raise ValueError(f"{role}: {err}") from None
        check_elements(model, campaign.elements, role)
    trained = "student" if campaign.student else "base_model"
    if f"{trained}.family" not in unseen:
        _check_training(campaign, models[trained], load)
    load_engine = not unseen & {"label.maker", "label.model"}
    seeds = check_seeds(campaign, base, load_engine)
    cells = {name: seed.cell for name, seed in seeds.items()}
    make_fingerprint(campaign.dataset.fingerprint)(
        to_atoms(next(iter(cells.values())))
    )  # what it needs is installed
    maker = make_static_maker(campaign.label) if load_engine else None
    if maker is not None:
        engine = engine_of(maker)
        engine.check({f"phase {name}": cell for name, cell in cells.items()})
        if runs_here:
            engine.check_here()
    for warning in seed_warnings(seeds, maker):
        _warn(console or Console(), warning)
    return campaign, cells


def _models(campaign: Campaign) -> dict[str, str]:
    """Role → name of the campaign's models."""
    return {
        "base_model": campaign.base_model,
        **({"student": campaign.student} if campaign.student else {}),
    }


def _check_training(campaign: Campaign, model: str, load: bool) -> None:
    """Refuse a model that no trainer takes, or a recipe that its trainer has nothing for.

    A trainer of the user's own is asked only if it may be imported.
    """
    role = "student" if campaign.student else "base_model"
    last = min(campaign.n_iterations, max(1, len(campaign.iterations)))  # later ones are alike
    recipes = [(role, campaign.iteration(number).train) for number in range(1, last + 1)]
    if campaign.curve.train is not None:
        recipes.append((f"curve.train, {role}", campaign.curve.train))
    for where, params in recipes:
        if not load and is_import_path(params.trainer or ""):
            continue
        try:
            recipe_for(trainer_for(model, params.trainer), params)
        except ValueError as err:
            other = (
                ""
                if campaign.student
                else "; or give another model as `student` to be fine-tuned instead"
            )
            raise ValueError(f"{where}: {err}{other}") from None


def _tell_inputs(console: Console, engine: Engine, cell: Any, folder: Path | None) -> None:
    """Print what the engine is given for a cell, written to a folder if asked, and what it lacks.

    Raises
    ------
    ValueError
        If files are to be written, and the engine has none.
    """
    inputs = engine.planned_inputs(cell)
    if inputs is None:
        if folder is not None:
            raise ValueError(f"--inputs: {engine.name} has no input files")
        return
    console.print(
        f"INCAR: {json.dumps(dict(inputs.incar), default=str)}", soft_wrap=True, highlight=False
    )
    points = f"KSPACING {inputs.incar.get('KSPACING', 0.5)}"
    if inputs.kpoints is not None:
        points = f"{inputs.style} {inputs.mesh or f'{len(inputs.kpoints.kpts)} points'}"
    console.print(
        f"k points: {points}; POTCAR: {', '.join(inputs.potcar)} ({inputs.potcar_functional})"
    )
    if folder is not None:
        inputs.write(folder)
        console.print(
            f"written: {folder}/{', '.join(sorted(path.name for path in folder.iterdir()))}"
        )
    if (missing := engine.missing_here()) is not None:
        _warn(console, f"VASP cannot run on this machine: {missing}")


def _tell_launchers(console: Console, folder: Path, campaign: Campaign, load_engine: bool) -> None:
    """What is wrong with the launcher files; a ValueError if they will not do."""
    from entropy_flows.launch.launchers_check import check_launchers

    found = check_launchers(folder, campaign, load_engine)
    for warning in found.warnings:
        _warn(console, warning)
    for error in found.errors[:-1]:
        console.print(f"[red]error:[/red] {escape(error)}", soft_wrap=True, highlight=False)
    if found.errors:
        raise ValueError(found.errors[-1])


def _warn(console: Console, warning: str) -> None:
    console.print(f"[yellow]warning:[/yellow] {escape(warning)}", soft_wrap=True, highlight=False)


def _stored(store: CampaignStore, campaign: Campaign, maker: Maker) -> str:
    """One line on the campaign in the database; a StoreError if this file or its engine's settings do not fit it."""
    if not store.exists():
        return f"database: reachable, no campaign {campaign.name!r} yet"
    state = store.compare(campaign)["state"]
    same_engine(store, maker, write=False)
    return (
        f"database: campaign {campaign.name!r} has this configuration and engine, state {state!r}"
    )


def _phase_table(seeds: dict[str, Any]) -> Table:
    """What the phases' cells are; their moments only if there are any."""
    moments = {name: summary(cell) for name, cell in seeds.items()}
    columns = ["phase", "formula", "atoms", "Å³/atom", "shortest Å"]
    rows = [[*columns, *(["moments μB"] if any(moments.values()) else [])]]
    for name, cell in seeds.items():
        distance = f"{shortest_distance(to_atoms(cell))[0]:.2f}"
        row = [
            name,
            cell.composition.reduced_formula,
            str(len(cell)),
            f"{cell.volume / len(cell):.2f}",
            distance,
        ]
        rows.append([*row, *([moments[name]] if any(moments.values()) else [])])
    return terminal_table(rows)


def _candidates(campaign: Campaign, phases: Iterable[str]) -> int:
    """How many snapshots all iterations explore, at most."""
    parts = [campaign.iteration(number).explore for number in range(1, campaign.n_iterations + 1)]
    return sum(
        len(condition_grid(part, list(phases))) * (part.steps // part.snapshot_every)
        for part in parts
    )


def _size_table(campaign: Campaign, phases: list[str]) -> Table:
    """What each iteration explores, and how many labels there can be at its end."""
    rows = [
        [
            "iteration",
            "runs",
            "jobs",
            "MD steps",
            "candidates ≤",
            "labels so far ≤",
            "T K",
            "k eV",
            "P GPa",
        ]
    ]
    in_all: int | None = 0
    for number in range(1, campaign.n_iterations + 1):
        part = campaign.iteration(number)
        explore = part.explore
        runs = len(condition_grid(explore, phases))
        in_all = (
            in_all + part.select.max_labels
            if in_all is not None and part.select.max_labels
            else None
        )
        limits = [limit for limit in (in_all, campaign.stop.label_budget) if limit is not None]
        rows.append(
            [
                str(number),
                str(runs),
                str(-(-runs // explore.batch_size)),
                str(runs * explore.all_steps),
                str(runs * (explore.steps // explore.snapshot_every)),
                str(min(limits)) if limits else "all accepted",
                *(
                    ", ".join(f"{v:g}" for v in values)
                    for values in (explore.temperatures, explore.entropy_weights, explore.pressures)
                ),
            ]
        )
    return terminal_table(rows)
