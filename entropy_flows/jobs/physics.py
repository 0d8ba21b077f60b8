"""The physics job: the checks of one model that are not in the database yet, a row each.

A row is kept as soon as its check is made, so a job that was killed and is run again makes what is
left. One job for a model, and not for each check, since loading a model takes longer than most
checks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ase.calculators.calculator import Calculator
from pymatgen.core import Structure

from entropy_flows.digest import digest
from entropy_flows.evaluate.physics import (
    DECIDING_PARAMS,
    CheckName,
    HarshestCondition,
    PhysicsParams,
    resolved,
    run_check,
)
from entropy_flows.geometry import cell_hash, to_atoms
from entropy_flows.jobs.common import StageMaker, stage_job
from entropy_flows.label import EngineError, engine_of, make_static_maker
from entropy_flows.potentials import load_calculator
from entropy_flows.schemas import Campaign, PhysicsDoc
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore, PhysicsChecks
from entropy_flows.store.schema import make_indexes

Role = Literal["before", "after", "engine"]
Progress = Callable[[CheckName, str, dict[str, Any]], None]


@dataclass(frozen=True)
class CheckedModel:
    """A model to check."""

    role: Role
    """Model that was fine-tuned first, model in use, or label engine."""
    reference: str
    """Reference of the model in the store; "engine:" and a hash for an engine."""
    title: str
    """Name for people."""
    load: Callable[[], Calculator | None]
    """Load its calculator; None if the engine works through files."""
    in_memory: bool = True
    """Whether there is a calculator, which is known without loading it."""


def checked_models(store: CampaignStore, campaign: Campaign) -> list[CheckedModel]:
    """List what a campaign has to check.

    These are its first model, the one in use, and the label engine if it is installed here.
    """
    models = []
    first = store.model(-1) or store.model(0)
    if first is not None:
        models.append(_stored_model(store, "before", first, "before"))
    last = store.model_in_use()
    if last is not None and last["iteration"] > 0:
        models.append(_stored_model(store, "after", last, f"after {last['iteration']}"))
    try:
        maker = make_static_maker(campaign.label)
    except EngineError:  # not installed here: the models can be checked all the same
        return models
    engine = engine_of(maker)
    reference = f"engine:{engine.hash}"
    model = CheckedModel("engine", reference, engine.name, engine.calculator, engine.in_memory)
    return [*models, model]


def _stored_model(
    store: CampaignStore, role: Role, document: dict[str, Any], title: str
) -> CheckedModel:
    reference = document["reference"]

    def load() -> Calculator:
        return load_calculator(store.fetch_model(reference), device=settings().device)

    return CheckedModel(role, reference, title, load)


def check_hashes(
    params: PhysicsParams, cells: Mapping[str, Structure]
) -> dict[tuple[CheckName, str], str]:
    """Hash all that decides a result beside the model, for each (check, phase).

    Parameters
    ----------
    params
        Parameters as `resolved` gives them.
    cells
        Phase → seed cell.
    """
    phases = list(cells) if params.phases is None else params.phases
    return {
        (check, phase): _check_hash(check, params, cells[phase])
        for check in params.checks
        for phase in phases
    }


def _check_hash(check: CheckName, params: PhysicsParams, cell: Structure) -> str:
    deciding = params.model_dump(mode="json", include=set(DECIDING_PARAMS[check]))
    return digest({"check": check, "params": deciding, "cell": cell_hash(cell)})


def rows_of(
    checks: PhysicsChecks, model: str, params: PhysicsParams, cells: Mapping[str, Structure]
) -> dict[tuple[CheckName, str], dict[str, Any]]:
    """Find the rows that there are of a model's checks, by (check, phase)."""
    rows = {
        (row["check"], row["phase"], row["check_hash"]): row for row in checks.find(model=model)
    }
    keys = {key: (*key, value) for key, value in check_hashes(params, cells).items()}
    return {key: rows[row_key] for key, row_key in keys.items() if row_key in rows}


def check_model(
    checks: PhysicsChecks,
    model: CheckedModel,
    params: PhysicsParams,
    cells: Mapping[str, Structure],
    on_done: Progress | None = None,
) -> int:
    """Make the checks of a model that are not there.

    Parameters
    ----------
    checks
        Collection of the rows.
    model
        The model.
    params
        Parameters as `resolved` gives them.
    cells
        Phase → seed cell.
    on_done
        Called with each check, its phase and its row.

    Returns
    -------
    int
        Number of checks made; none if it is an engine that works through files.
    """
    done = rows_of(checks, model.reference, params, cells)
    hashes = check_hashes(params, cells)
    missing = {key: value for key, value in hashes.items() if key not in done}
    calculator = model.load() if missing else None
    if calculator is None:
        return 0
    plain_params = params.model_dump(mode="json")
    for (check, phase), check_hash in missing.items():
        result = run_check(check, to_atoms(cells[phase]), calculator, params)
        row = {
            "result": result.result,
            "reason": result.reason,
            "seconds": result.seconds,
            "title": model.title,
        }
        checks.save(model.reference, check, phase, check_hash, **row, params=plain_params)
        if on_done is not None:
            on_done(check, phase, row)
    return len(missing)


@dataclass
class PhysicsMaker(StageMaker):
    """Check the physics of one of a campaign's models.

    Parameters
    ----------
    name
        Job name.
    params
        Checks, and how well they are made; None takes the campaign's own.
    """

    name: str = "physics"
    params: PhysicsParams | None = None

    @stage_job(PhysicsDoc, stable_uuid=False)
    def make(
        self, campaign: str, iteration: int, role: Role, cells: dict[str, Structure]
    ) -> PhysicsDoc:
        """Make the checks that are missing.

        Parameters
        ----------
        campaign
            Name of the campaign.
        iteration
            Number of the last iteration that has a model.
        role
            "before", "after" or "engine".
        cells
            Phase → seed cell, as `entropy_flows.explore.seed_cell` builds it.

        Raises
        ------
        ValueError
            If there is no such model.
        """
        store = CampaignStore.open(campaign)
        config = store.campaign()
        models = {model.role: model for model in checked_models(store, config)}
        if role not in models:
            raise ValueError(f"campaign {campaign} has no model {role!r} yet")
        model = models[role]
        make_indexes(store.database)
        checks = PhysicsChecks(store.database, campaign)
        params = resolved(self.params or config.physics, HarshestCondition(*config.hardest))
        n_new = check_model(checks, model, params, cells)
        rows = rows_of(checks, model.reference, params, cells)
        return PhysicsDoc(
            iteration=iteration,
            model=model.reference,
            completed=n_new,
            reused=len(rows) - n_new,
            failed=sum(row["result"] is None for row in rows.values()),
        )
