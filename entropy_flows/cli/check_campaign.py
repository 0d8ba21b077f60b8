"""What `entropy-flows check` prints of a campaign that may run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.columns import Columns
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from entropy_flows.cli.check_models import teacher_warnings
from entropy_flows.cli.check_seeds import vacuum_warnings
from entropy_flows.cli.check_tables import (
    assumptions,
    incar_lines,
    max_candidates,
    phase_rows,
    size_rows,
)
from entropy_flows.cli.preflight import campaign_models, preflight, warn
from entropy_flows.environments import absolute_environment, find_environment
from entropy_flows.geometry import to_atoms
from entropy_flows.potentials import environment_of, locate_model, match_model
from entropy_flows.report.terminal import terminal_table
from entropy_flows.schemas import Campaign
from entropy_flows.schemas.named_code import NamedCode, named_code

if TYPE_CHECKING:
    from jobflow import Maker
    from pymatgen.core import Structure

    from entropy_flows.label import Engine
    from entropy_flows.store import CampaignStore


@dataclass(frozen=True)
class CampaignCheck:
    """A campaign that has passed `preflight`, and what is printed of it.

    Attributes
    ----------
    file
        The campaign file.
    campaign
        What the file says.
    seeds
        Phase → seed cell.
    untrusted
        Code of the user's own that the file names and that must not be imported.
    console
        Where everything is printed.
    """

    file: Path
    campaign: Campaign
    seeds: Mapping[str, Structure]
    untrusted: tuple[NamedCode, ...]
    console: Console

    @classmethod
    def read(cls, file: Path, load: bool) -> CampaignCheck:
        """Read and check a campaign file; with `load`, its user's modules may be imported."""
        console = Console()
        campaign, seeds = preflight(file, load=load, computes=False, console=console)
        codes = () if load else named_code(campaign, file.parent)
        untrusted = tuple(code for code in codes if not code.trusted)
        return cls(file, campaign, seeds, untrusted, console)

    @property
    def may_load_engine(self) -> bool:
        """True if the label engine may be imported."""
        return not any(code.is_engine for code in self.untrusted)

    def show_campaign(self) -> None:
        """Print elements, models, and the phases' cells."""
        campaign = self.campaign
        for code in self.untrusted:
            warn(
                self.console,
                f"{code.key} {code.path} was not looked into: importing it runs its code; "
                f"check --load does",
            )
        elements = ", ".join(campaign.elements)
        line = f"[bold]{campaign.name}[/bold]: {elements}; base model {campaign.base_model}"
        self.console.print(line)
        for role, name in campaign_models(campaign).items():
            environment = environment_of(name)
            if environment is not None:
                self._print(f"{role} is loaded in environment {self._folder_of(environment)}")
            match = match_model(name)
            note = match.family.network_note(match.name) if match else None
            if note is not None:
                self._print(
                    f"{role} {name} was not looked up: every worker needs the network for it. "
                    f"Without: {note}"
                )
        self.console.print(terminal_table(phase_rows(self.seeds)))
        for warning in vacuum_warnings(campaign, self.seeds):
            warn(self.console, warning)

    def _folder_of(self, environment: str) -> str:
        """Return an environment's name and folder; the name alone if it is not here."""
        try:
            return find_environment(absolute_environment(environment, self.file.parent)).title
        except ValueError:
            return environment

    def show_size(self) -> None:
        """Print what each iteration explores."""
        self.console.print(terminal_table(size_rows(self.campaign, list(self.seeds))))
        budget = self.campaign.stop.label_budget
        if budget:
            self.console.print(f"label budget: {budget}")

    def show_time(self) -> None:
        """Time the model and the fingerprints on the seeds, and print how long iterations take."""
        from entropy_flows.cli.check_cost import dataset_cost, hours_rows, measure_steps
        from entropy_flows.launch.local import default_workers
        from entropy_flows.potentials import load_batch_model
        from entropy_flows.settings import settings

        base = self.file.parent
        cells = {name: to_atoms(cell) for name, cell in self.seeds.items()}
        models = campaign_models(self.campaign)
        device = settings().device
        engine = self.campaign.label.make_engine() if self.may_load_engine else None
        with self.console.status("timing the model on the seed cells"):
            times = measure_steps(
                self.campaign,
                cells,
                lambda role: load_batch_model(locate_model(models[role], base), device),
                engine,
            )
            candidates = max_candidates(self.campaign, cells)
            dataset = dataset_cost(self.campaign.dataset, list(cells.values()), candidates)
        workers = default_workers()
        rows = hours_rows(self.campaign, list(cells), times, workers)
        self.console.print(terminal_table(rows, "time with the workers of this machine"))
        for line in assumptions(times, workers, device):
            self._print(line)
        self._print(dataset)

    def show_engine(self, inputs: Path | None, database: bool, folder: Path | None) -> None:
        """Print the label engine, its inputs, and the campaign of this name in the database.

        Parameters
        ----------
        inputs
            Folder to write the inputs of the first seed cell to.
        database
            True to compare with the database.
        folder
            The campaign's folder.

        Raises
        ------
        ValueError
            If the engine is needed and must not be imported, or has no inputs.
        """
        if not self.may_load_engine:
            if inputs is not None or database:
                option = "--inputs" if inputs else "--database"
                raise ValueError(f"{option} needs the label engine: add --load")
            return
        engine = self.campaign.label.make_engine()
        self.console.print(f"labels by: {engine.name}")
        base = self.file.parent
        models = {
            role: locate_model(model, base)
            for role, model in campaign_models(self.campaign).items()
        }
        for warning in teacher_warnings(models, engine):
            warn(self.console, warning)
        self._show_inputs(engine, inputs)
        if database:
            from entropy_flows.launch.session import open_session

            with open_session(self.file, folder, create=False) as session:
                self._print(database_line(session.store, self.campaign, engine.maker))

    def _show_inputs(self, engine: Engine, folder: Path | None) -> None:
        """Print, and write, the engine's inputs of the first seed cell.

        Raises
        ------
        ValueError
            If files are to be written, and the engine has none.
        """
        cell = next(iter(self.seeds.values()))
        inputs = engine.planned_inputs(cell)
        if inputs is None:
            if folder is not None:
                raise ValueError(f"--inputs: {engine.name} has no input files")
            return
        tags = [Text(line) for line in incar_lines(str(inputs.incar))]
        self.console.print("INCAR of the first seed:")
        self.console.print(Columns(tags, padding=(0, 3), column_first=True))
        points = f"KSPACING {inputs.incar.get('KSPACING', 0.5)}"
        if inputs.kpoints is not None:
            mesh = inputs.mesh or f"{len(inputs.kpoints.kpts)} points"
            points = f"{inputs.style} {mesh}"
        potcars = f"{', '.join(inputs.potcar)} ({inputs.potcar_functional})"
        self.console.print(f"k points: {points}; POTCAR: {potcars}")
        if folder is not None:
            inputs.write(folder)
            names = sorted(path.name for path in folder.iterdir())
            self.console.print(f"written: {folder}/{', '.join(names)}")

    def show_launchers(self, folder: Path) -> None:
        """Print what is wrong with the launcher files.

        Raises
        ------
        ValueError
            If a campaign cannot run well with them; it has the last of the errors.
        """
        from entropy_flows.launch.launchers_check import check_launchers

        report = check_launchers(folder, self.campaign, self.may_load_engine)
        for warning in report.warnings:
            warn(self.console, warning)
        for error in report.errors[:-1]:
            self._print(f"[red]error:[/red] {escape(error)}")
        if report.errors:
            raise ValueError(report.errors[-1])

    def _print(self, line: str) -> None:
        self.console.print(line, soft_wrap=True, highlight=False)


def database_line(store: CampaignStore, campaign: Campaign, maker: Maker) -> str:
    """Describe the campaign of this name in the database.

    Raises
    ------
    StoreError
        If this file or its engine's settings do not fit it.
    """
    from entropy_flows.jobs.engine import same_engine
    from entropy_flows.schemas.changes import differences
    from entropy_flows.store.settings_changes import (
        current_document,
        refuse_changes,
        stored_campaign,
    )

    if not store.exists():
        return f"database: reachable, no campaign {campaign.name!r} yet"
    document = current_document(store)
    changed = differences(stored_campaign(store, document), campaign)
    refuse_changes(store, changed)
    same_engine(store, maker, write=False)
    state = document["state"]
    line = f"database: campaign {campaign.name!r} has this engine, state {state!r}"
    if not changed:
        return f"{line}, and this configuration"
    return "; ".join([f"{line}; would change", *(change.text() for change in changed)])
