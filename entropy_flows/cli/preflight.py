"""Check everything that must hold before a campaign starts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from entropy_flows.cli.check_seeds import check_seeds
from entropy_flows.environments import find_environment
from entropy_flows.fingerprints import FINGERPRINTS, make_fingerprint
from entropy_flows.geometry import to_atoms
from entropy_flows.launch.queue_keys import check_queue
from entropy_flows.launch.seeds import seed_warnings
from entropy_flows.modules import use_folder
from entropy_flows.plugins import is_import_path
from entropy_flows.potentials import check_elements, check_name, environment_of, locate_model
from entropy_flows.schemas import Campaign, load_settings
from entropy_flows.schemas.named_code import modules_folder, named_code, refuse_unseen_plugins
from entropy_flows.train import check_recipe

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from entropy_flows.label import Engine


def preflight(
    file: Path,
    load: bool = True,
    runs_here: bool = False,
    computes: bool = True,
    console: Console | None = None,
) -> tuple[Campaign, dict[str, Structure]]:
    """Check everything that must hold before a campaign starts, and warn of seeds and engine.

    Parameters
    ----------
    file
        Campaign file.
    load
        True to import the user's own modules that it names; else what needs them is not checked.
    runs_here
        True if this machine's own workers will run it, so that the label engine must be on it.
        Else what the engine lacks here is a warning: the machines that label may have it.
    computes
        True to compute a fingerprint, which shows that all it needs is installed. False leaves out
        the default one, whose packages this one cannot do without and takes seconds to import.
    console
        Where warnings are printed; None is the terminal.

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
    if not load:
        refuse_unseen_plugins(file)
    campaign = load_settings(file)
    if not isinstance(campaign, Campaign):
        raise ValueError(
            f"{file} is a file of `entropy-flows agnostic`, not a campaign's: "
            f"run it by that command"
        )
    check_queue(campaign.queue)
    base = file.parent
    untrusted = set()
    if load:
        use_folder(modules_folder(campaign, base))
    else:
        untrusted = {code.key for code in named_code(campaign, base) if not code.trusted}
    models = {role: locate_model(name, base) for role, name in campaign_models(campaign).items()}
    warnings = environment_warnings(models, runs_here)
    for role, model in models.items():
        if not untrusted & {role, f"{role}.family"}:
            _check_model(role, model, campaign)
    trained = "student" if campaign.student else "base_model"
    if f"{trained}.family" not in untrusted:
        _check_training(campaign, models[trained], load)
    load_engine = not untrusted & {"label.engine", "label.maker", "label.model"}
    seeds = check_seeds(campaign, base, load_engine)
    cells = {name: seed.cell for name, seed in seeds.items()}
    fingerprint = campaign.dataset.fingerprint
    if computes or FINGERPRINTS.name_of(fingerprint) != FINGERPRINTS.default:
        first_cell = next(iter(cells.values()))
        make_fingerprint(fingerprint)(to_atoms(first_cell))
    engine = campaign.label.make_engine() if load_engine else None
    warnings += [] if engine is None else _engine_warnings(engine, cells, runs_here)
    for warning in (*warnings, *seed_warnings(seeds, engine)):
        warn(console or Console(), warning)
    return campaign, cells


def _engine_warnings(engine: Engine, cells: Mapping[str, Structure], runs_here: bool) -> list[str]:
    """Check the label engine; return what it lacks on this machine, unless it must be here."""
    engine.check({f"phase {name}": cell for name, cell in cells.items()})
    if runs_here:
        engine.check_here()
    missing = engine.missing_here()
    if missing is None:
        return []
    return [
        f"{engine.name} cannot run on this machine: {missing}. Where label jobs run it must be "
        "there, or what is explored cannot be labelled"
    ]


def environment_warnings(models: Mapping[str, str], runs_here: bool) -> list[str]:
    """Look for the environments of a campaign's models on this machine; none is run.

    Raises
    ------
    ValueError
        If one is not here, and jobs run here.
    """
    warnings = []
    for role, model in models.items():
        environment = environment_of(model)
        try:
            if environment is not None:
                find_environment(environment)
        except ValueError as err:
            if runs_here:
                raise ValueError(f"{role}: {err}") from None
            warnings.append(f"{role}: {err}. Where its jobs run it must be there")
    return warnings


def campaign_models(campaign: Campaign) -> dict[str, str]:
    """Return role → name of the campaign's models."""
    models = {"base_model": campaign.base_model}
    if campaign.student:
        models["student"] = campaign.student
    return models


def warn(console: Console, warning: str) -> None:
    """Print a warning."""
    line = f"[yellow]warning:[/yellow] {escape(warning)}"
    console.print(line, soft_wrap=True, highlight=False)


def _check_model(role: str, model: str, campaign: Campaign) -> None:
    """Refuse a model that nothing knows, or that lacks one of the campaign's elements."""
    try:
        check_name(model)
    except ValueError as err:
        raise ValueError(f"{role}: {err}") from None
    check_elements(model, campaign.elements, role)


def _check_training(campaign: Campaign, model: str, load: bool) -> None:
    """Refuse a model that no trainer takes, or a recipe that its trainer has nothing for.

    A trainer of the user's own is asked only if it may be imported.
    """
    role = "student" if campaign.student else "base_model"
    # iterations beyond the last one that the file describes are like it
    last = min(campaign.n_iterations, max(1, len(campaign.iterations)))
    recipes = [(role, campaign.iteration(number).train) for number in range(1, last + 1)]
    if campaign.curve.train is not None:
        recipes.append((f"curve.train, {role}", campaign.curve.train))
    hint = ""
    if not campaign.student:
        hint = "; or give another model as `student` to be fine-tuned instead"
    for name, params in recipes:
        if not load and is_import_path(params.trainer or ""):
            continue
        try:
            check_recipe(model, params)
        except ValueError as err:
            raise ValueError(f"{name}: {err}{hint}") from None
