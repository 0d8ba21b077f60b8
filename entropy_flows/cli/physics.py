"""`entropy-flows physics`: what the potential says of crystals, before and after, beside the label engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from entropy_flows.cli.options import CampaignFile, FolderOption, as_typed
from entropy_flows.launch.session import Session, need_shared_database, stored
from entropy_flows.report.terminal import shown

if TYPE_CHECKING:
    from entropy_flows.jobs.physics import CheckedModel
    from entropy_flows.report.physics_table import Rows

BY_FILES = "works through files and is not checked here; docs/physics.md says how to get its column with atomate2"


def command(
    file: CampaignFile,
    folder: FolderOption = None,
    retry: Annotated[bool, typer.Option("--retry", help="Make checks again that failed.")] = False,
    queue: Annotated[
        bool,
        typer.Option(
            "--queue",
            help="Make none here: submit a job for each model, for `qlaunch` or `rlaunch`.",
        ),
    ] = False,
) -> None:
    """Check equation of state, elastic constants, phonons, phases and dynamics of the models; go on where it stopped.

    Example: entropy-flows physics silicon/campaign.yaml
    """
    from entropy_flows.report.physics_table import physics_reasons, physics_rows
    from entropy_flows.store import PhysicsChecks
    from entropy_flows.store.schema import make_indexes

    if queue:
        need_shared_database("--queue")
    console = Console()
    with stored(file, folder) as opened:
        opened.store.document()
        make_indexes(opened.store.database)
        plan = planned(opened)
        if retry:
            checks = PhysicsChecks(opened.store.database, opened.campaign.name)
            forgotten = sum(checks.forget_failed(one.reference) for one in plan.subjects)
            console.print(f"{forgotten} failed checks will be made again")
        if queue:
            _submit(opened, plan, console)
        made = (
            0 if queue else sum(_check(opened, plan, subject, console) for subject in plan.subjects)
        )
        models = plan.models(opened)
    rows = physics_rows(models)
    console.print(shown("physics", rows))
    for line in physics_reasons(models):
        console.print(f"[red]{line}[/red]", soft_wrap=True)
    if queue:
        print(f"when they are done: entropy-flows physics {as_typed(file, folder)}")
    else:
        print(f"{made} checks made now; next: entropy-flows report {as_typed(file, folder)}")


@dataclass(frozen=True)
class Plan:
    """What there is to check: models, phases' seed cells, parameters."""

    subjects: list[CheckedModel]
    cells: dict[str, Any]
    params: Any

    def models(self, opened: Session) -> dict[str, Rows]:
        """Title → rows that are there, of the models that have any."""
        from entropy_flows.jobs.physics import rows_of
        from entropy_flows.store import PhysicsChecks

        checks = PhysicsChecks(opened.store.database, opened.campaign.name)
        found: dict[str, Any] = {
            one.title: rows_of(checks, one.reference, self.params, self.cells)
            for one in self.subjects
        }
        return {title: rows for title, rows in found.items() if rows}


def planned(opened: Session) -> Plan:
    """The models that the campaign has now, with the file's parameters."""
    from entropy_flows.evaluate.physics import HarshestCondition, resolved
    from entropy_flows.jobs.physics import subjects
    from entropy_flows.launch.seeds import campaign_seeds

    campaign = opened.campaign
    cells = {name: seed.cell for name, seed in campaign_seeds(campaign, opened.file.parent).items()}
    params = resolved(campaign.physics, HarshestCondition(*campaign.hardest))
    return Plan(subjects(opened.store, campaign), cells, params)


def _submit(opened: Session, plan: Plan, console: Console) -> None:
    """Put a job on the launchpad for each model of which checks are missing."""
    from entropy_flows.jobs.physics import rows_of, wanted
    from entropy_flows.launch.submit import submit_physics
    from entropy_flows.store import PhysicsChecks

    checks, number = (
        PhysicsChecks(opened.store.database, opened.campaign.name),
        len(wanted(plan.params, plan.cells)),
    )
    for subject in plan.subjects:
        missing = number - len(rows_of(checks, subject.reference, plan.params, plan.cells))
        if not subject.in_memory:
            console.print(f"{subject.title} {BY_FILES}")
        elif missing:
            added = submit_physics(
                opened.store, opened.campaign, subject, plan.cells, opened.file.parent
            )
            how = "submitted" if added else "submitted before, and not done"
            console.print(f"{subject.title}: {missing} of {number} checks {how}", highlight=False)


def _check(opened: Session, plan: Plan, subject: CheckedModel, console: Console) -> int:
    from entropy_flows.jobs.physics import check_model, rows_of, wanted
    from entropy_flows.store import PhysicsChecks

    checks = PhysicsChecks(opened.store.database, opened.campaign.name)
    there = len(rows_of(checks, subject.reference, plan.params, plan.cells))
    number = len(wanted(plan.params, plan.cells))
    done = there

    def tell(check: str, phase: str, row: dict[str, Any]) -> None:
        nonlocal done
        done += 1
        how = f"in {row['seconds']:.0f} s" if row["result"] else f"failed: {row['reason']}"
        console.print(
            f"{subject.title} {done}/{number}: {check} of {phase} {how}",
            highlight=False,
            soft_wrap=True,
        )

    with console.status(f"{subject.title}: {number - there} of {number} checks to make"):
        made = check_model(checks, subject, plan.params, plan.cells, tell)
    if there + made == 0:
        console.print(f"{subject.title} {BY_FILES}")
    return made
