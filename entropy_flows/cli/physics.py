"""`entropy-flows physics`: crystals' properties by the models, and by the label engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from entropy_flows.cli.options import CampaignFile, FolderOption, as_typed
from entropy_flows.launch.session import Session, need_shared_database, open_stored
from entropy_flows.report.terminal import terminal_table

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from entropy_flows.evaluate.physics import PhysicsParams
    from entropy_flows.jobs.physics import CheckedModel
    from entropy_flows.report.physics_table import Rows
    from entropy_flows.store import PhysicsChecks

FILE_ENGINE_NOTE = (
    "works through files and is not checked here; "
    "docs/physics.md says how to get its column with atomate2"
)


def command(
    file: CampaignFile,
    folder: FolderOption = None,
    retry: Annotated[bool, typer.Option("--retry", help="Make checks again that failed.")] = False,
    queue: Annotated[
        bool,
        typer.Option(
            "--queue",
            help="Make none here: submit a job for each model, for workers elsewhere.",
        ),
    ] = False,
) -> None:
    """Check equation of state, elastic constants, phonons, phases and dynamics of the models.

    Checks that were made before are not made again.

    Example: entropy-flows physics silicon/campaign.yaml
    """
    from entropy_flows.report.physics_table import physics_reasons, physics_rows
    from entropy_flows.store.schema import make_indexes

    if queue:
        need_shared_database("--queue")
    console = Console()
    with open_stored(file, folder) as session:
        session.store.document()
        make_indexes(session.store.database)
        plan = make_plan(session)
        if retry:
            checks = _checks(session)
            number = sum(checks.delete_failed(model.reference) for model in plan.models)
            console.print(f"{number} failed checks will be made again")
        new_checks = 0
        if queue:
            _submit(session, plan, console)
        else:
            new_checks = sum(_check(session, plan, model, console) for model in plan.models)
        rows_by_model = plan.rows_by_model(session)
    console.print(terminal_table(physics_rows(rows_by_model), "physics"))
    for line in physics_reasons(rows_by_model):
        console.print(f"[red]{line}[/red]", soft_wrap=True)
    typed = as_typed(file, folder)
    if queue:
        print(f"when they are done: entropy-flows physics {typed}")
    else:
        print(f"{new_checks} checks made now; next: entropy-flows report {typed}")


@dataclass(frozen=True)
class Plan:
    """The checks that a campaign's models are to have."""

    models: list[CheckedModel]
    """The models, and the label engine."""
    cells: dict[str, Structure]
    """Phase → its seed cell."""
    params: PhysicsParams
    """Parameters of the checks, as `resolved` returns them."""

    @property
    def size(self) -> int:
        """Number of checks of each model."""
        from entropy_flows.jobs.physics import check_hashes

        return len(check_hashes(self.params, self.cells))

    def rows_of(self, session: Session, model: CheckedModel) -> Rows:
        """Return the checks of a model that have been made."""
        from entropy_flows.jobs.physics import rows_of

        return rows_of(_checks(session), model.reference, self.params, self.cells)

    def rows_by_model(self, session: Session) -> dict[str, Rows]:
        """Return the checks that have been made, by title of the models that have any."""
        rows = {model.title: self.rows_of(session, model) for model in self.models}
        return {title: checks for title, checks in rows.items() if checks}


def make_plan(session: Session) -> Plan:
    """Plan the checks of the models that the campaign has now, with the file's parameters."""
    from entropy_flows.evaluate.physics import HarshestCondition, resolved
    from entropy_flows.jobs.physics import checked_models
    from entropy_flows.launch.seeds import campaign_seeds

    campaign = session.campaign
    seeds = campaign_seeds(campaign, session.file.parent)
    cells = {name: seed.cell for name, seed in seeds.items()}
    params = resolved(campaign.physics, HarshestCondition(*campaign.hardest))
    return Plan(checked_models(session.store, campaign), cells, params)


def _checks(session: Session) -> PhysicsChecks:
    from entropy_flows.store import PhysicsChecks

    return PhysicsChecks(session.store.database, session.campaign.name)


def _submit(session: Session, plan: Plan, console: Console) -> None:
    """Submit a job for each model of which checks are missing."""
    from entropy_flows.launch.submit import submit_physics

    folder = session.file.parent
    for model in plan.models:
        missing = plan.size - len(plan.rows_of(session, model))
        if not model.in_memory:
            console.print(f"{model.title} {FILE_ENGINE_NOTE}")
        elif missing:
            is_new = submit_physics(session.store, session.campaign, model, plan.cells, folder)
            state = "submitted" if is_new else "submitted before, and not done"
            line = f"{model.title}: {missing} of {plan.size} checks {state}"
            console.print(line, highlight=False)


def _check(session: Session, plan: Plan, model: CheckedModel, console: Console) -> int:
    """Make the checks of a model that are missing; return how many were made."""
    from entropy_flows.jobs.physics import check_model

    before = len(plan.rows_of(session, model))
    done = before

    def show_check(check: str, phase: str, row: dict[str, Any]) -> None:
        nonlocal done
        done += 1
        outcome = f"in {row['seconds']:.0f} s" if row["result"] else f"failed: {row['reason']}"
        line = f"{model.title} {done}/{plan.size}: {check} of {phase} {outcome}"
        console.print(line, highlight=False, soft_wrap=True)

    missing = plan.size - before
    with console.status(f"{model.title}: {missing} of {plan.size} checks to make"):
        number = check_model(_checks(session), model, plan.params, plan.cells, show_check)
    # An engine that works through files has no calculator, and so no check.
    if before + number == 0:
        console.print(f"{model.title} {FILE_ENGINE_NOTE}")
    return number
