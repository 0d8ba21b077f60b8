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
    """The model that was fine-tuned first, the one that the campaign goes on from, or what
    labels.
    """
    reference: str
    """Of the model in the store; "engine:" and a hash for an engine."""
    title: str
    """For people."""
    load: Callable[[], Calculator | None]
    """Its calculator; None if the engine works through files."""
    in_memory: bool = True
    """Whether there is one, which is told without loading it."""


def subjects(store: CampaignStore, campaign: Campaign) -> list[CheckedModel]:
    """What a campaign has to check: its first model, the one in use, and the label engine if it is installed here."""
    found = []
    if (first := store.model(-1) or store.model(0)) is not None:
        found.append(_model(store, "before", first, "before"))
    last = store.model_in_use()
    if last is not None and last["iteration"] > 0:
        found.append(_model(store, "after", last, f"after {last['iteration']}"))
    try:
        maker = make_static_maker(campaign.label)
    except EngineError:  # not installed here: the models can be checked all the same
        return found
    engine = engine_of(maker)
    reference = f"engine:{engine.hash}"
    found.append(
        CheckedModel("engine", reference, engine.name, engine.calculator, engine.in_memory)
    )
    return found


def _model(store: CampaignStore, role: Role, document: dict[str, Any], title: str) -> CheckedModel:
    reference = document["reference"]
    return CheckedModel(
        role,
        reference,
        title,
        lambda: load_calculator(store.fetch_model(reference), device=settings().device),
    )


def wanted(
    params: PhysicsParams, cells: Mapping[str, Structure]
) -> dict[tuple[CheckName, str], str]:
    """(check, phase) → hash of all that decides its result beside the model; `params` as `resolved` gives them."""
    chosen = list(cells) if params.phases is None else params.phases
    return {
        (check, phase): _check_hash(check, params, cells[phase])
        for check in params.checks
        for phase in chosen
    }


def _check_hash(check: CheckName, params: PhysicsParams, cell: Structure) -> str:
    deciding = params.model_dump(mode="json", include=set(DECIDING_PARAMS[check]))
    return digest({"check": check, "params": deciding, "cell": cell_hash(cell)})


def rows_of(
    checks: PhysicsChecks, model: str, params: PhysicsParams, cells: Mapping[str, Structure]
) -> dict[tuple[CheckName, str], dict[str, Any]]:
    """(check, phase) → row, of those wanted that are there."""
    there = {
        (row["check"], row["phase"], row["check_hash"]): row for row in checks.find(model=model)
    }
    return {
        key: there[(*key, code)]
        for key, code in wanted(params, cells).items()
        if (*key, code) in there
    }


def check_model(
    checks: PhysicsChecks,
    subject: CheckedModel,
    params: PhysicsParams,
    cells: Mapping[str, Structure],
    on_done: Progress | None = None,
) -> int:
    """Make the checks of a model that are not there.

    Parameters
    ----------
    checks
        Where rows are kept.
    subject
        The model.
    params
        As `resolved` gives them.
    cells
        Phase → seed cell.
    on_done
        Called with each check, its phase and its row.

    Returns
    -------
    int
        How many were made; none if it is an engine that works through files.
    """
    there = rows_of(checks, subject.reference, params, cells)
    missing = {key: code for key, code in wanted(params, cells).items() if key not in there}
    calculator = subject.load() if missing else None
    if calculator is None:
        return 0
    for (check, phase), code in missing.items():
        outcome = run_check(check, to_atoms(cells[phase]), calculator, params)
        row = {
            "result": outcome.result,
            "reason": outcome.reason,
            "seconds": outcome.seconds,
            "title": subject.title,
        }
        checks.save(
            subject.reference, check, phase, code, **row, params=params.model_dump(mode="json")
        )
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
        Which checks, and how well; None takes the campaign's own.
    """

    name: str = "physics"
    params: PhysicsParams | None = None

    @stage_job(PhysicsDoc, stable_uuid=False)
    def make(
        self, campaign: str, iteration: int, role: Role, cells: dict[str, Structure]
    ) -> PhysicsDoc:
        """Make what is missing.

        Parameters
        ----------
        campaign, iteration
            Place of this job: the last iteration that has a model.
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
        subject = next((one for one in subjects(store, config) if one.role == role), None)
        if subject is None:
            raise ValueError(f"campaign {campaign} has no model {role!r} yet")
        make_indexes(store.database)
        checks = PhysicsChecks(store.database, campaign)
        params = resolved(self.params or config.physics, HarshestCondition(*config.hardest))
        made = check_model(checks, subject, params, cells)
        rows = rows_of(checks, subject.reference, params, cells)
        failed = sum(row["result"] is None for row in rows.values())
        return PhysicsDoc(
            iteration=iteration,
            model=subject.reference,
            made=made,
            found=len(rows) - made,
            failed=failed,
        )
