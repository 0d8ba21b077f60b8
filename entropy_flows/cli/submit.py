"""`entropy-flows submit`: give a campaign to a workflow manager, for workers elsewhere."""

from __future__ import annotations

from typing import Annotated

import typer

from entropy_flows.cli.options import CampaignFile, FolderOption, as_typed, show_changes
from entropy_flows.launch.session import need_shared_database, open_session


def command(
    file: CampaignFile,
    folder: FolderOption = None,
    manager: Annotated[
        str | None,
        typer.Option(
            help="Who has workers run the jobs: fireworks or jobflow-remote. "
            "Default: whoever has the campaign, or fireworks."
        ),
    ] = None,
    project: Annotated[
        str | None,
        typer.Option(help="Project of jobflow-remote. Default: jobflow-remote's own."),
    ] = None,
) -> None:
    """Give a campaign to a workflow manager; then start workers (docs/managers.md).

    Example: ENTROPY_FLOWS_URI=mongodb://… entropy-flows submit carbon.yaml
    """
    need_shared_database("submit", ", or use `run`")

    from entropy_flows.cli.preflight import preflight
    from entropy_flows.launch.manager import typed_choice, workflow_manager
    from entropy_flows.launch.submit import submit

    choice = typed_choice(manager, project)
    preflight(file)
    typed = as_typed(file, folder)
    with open_session(file, folder) as session:
        submission = submit(session.store, session.campaign, file.parent, choice=choice)
        document = session.store.document()
        start = workflow_manager(session.store).start_command(typed, session.embedded)
    show_changes(submission.changes)
    done = "is submitted" if submission.added else "was submitted before"
    if not submission.added and document["state"] == "done":
        done = f"is done ({document['message']})"
    print(f"{session.campaign.name} {done}; its state: entropy-flows status {typed}")
    if document["state"] != "done":
        print(f"workers: {start}")
