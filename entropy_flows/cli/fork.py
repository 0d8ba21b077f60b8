"""`entropy-flows fork`: a new campaign that begins with what another one has."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from entropy_flows.cli.options import FolderOption


def command(
    old: Annotated[
        Path, typer.Argument(help="File of the campaign that there is.", metavar="OLD.yaml")
    ],
    new: Annotated[
        Path,
        typer.Argument(help="File of the new one, with a name of its own.", metavar="NEW.yaml"),
    ],
    from_iteration: Annotated[
        int, typer.Option("--from-iteration", min=1, help="First iteration of the new campaign.")
    ],
    relabel: Annotated[
        bool,
        typer.Option("--relabel", help="Have the cells labelled again, by the new file's engine."),
    ] = False,
    folder: FolderOption = None,
) -> None:
    """Begin a campaign with the cells, labels and models that another one has up to an iteration.

    Both are in one database. Held-out cells stay held out. From then on each runs on its own. With
    --relabel, labels and models are not shared: the new campaign labels the cells by its own engine
    and trains its base model on them. A fork that was interrupted is completed by the same command.

    Example: entropy-flows fork silicon.yaml silicon-2.yaml --from-iteration 3
    """
    from rich.console import Console

    from entropy_flows.launch.session import open_stored
    from entropy_flows.schemas import load_campaign
    from entropy_flows.store.fork import Fork

    campaign = load_campaign(new)
    with open_stored(old, folder) as session, Console().status("copying") as spinner:
        if campaign.name == session.store.name:
            raise ValueError(f"{new}: name: {campaign.name!r} is that of {old}; give another one")

        def show(done: int, total: int) -> None:
            spinner.update(f"copying: {done} of {total} cells")

        target = session.store.of(campaign.name)
        entries = Fork(session.store, target, campaign, from_iteration, relabel).make(show)
        labels = sum(1 for _ in target.labels(converged=True))
        shared_folder = session.folder if session.embedded else None
    counts = f"{entries} cells" if relabel else f"{entries} cells, {labels} labels"
    print(f"{campaign.name} begins with iteration {from_iteration}: {counts}")
    if relabel:
        print("they are labelled again and trained on before it goes on")
    # an embedded database is in the folder of the campaign that made it
    arguments = [str(new), *(["-C", str(shared_folder)] if shared_folder else [])]
    print(f"next: entropy-flows run {shlex.join(arguments)}")
