"""`entropy-flows retrain`: train an iteration's model again, on what is there now."""

from __future__ import annotations

from typing import Annotated

import typer

from entropy_flows.cli.options import CampaignFile, FolderOption, as_typed
from entropy_flows.launch.session import open_stored


def command(
    file: CampaignFile,
    iteration: Annotated[
        int | None,
        typer.Option(min=1, help="Iteration whose model it is. Default: the last that has one."),
    ] = None,
    folder: FolderOption = None,
) -> None:
    """Train a model again without the cells that were excluded, or with a changed section train.

    It is a new version; the old model stays. The campaign goes on from the new one, unless it is
    worse on the validation cells and `train.continue_from` is "better".

    Example: entropy-flows retrain silicon/campaign.yaml
    """
    from entropy_flows.launch.retraining import submit_retraining

    with open_stored(file, folder) as session:
        store = session.store
        retraining = submit_retraining(store, session.campaign, session.file.parent, iteration)
    title = f"version {retraining.version} of iteration {retraining.iteration}"
    state = "is submitted" if retraining.is_new else "was submitted before, and is not done"
    print(f"{store.name}: {title} {state}")
    if not retraining.continues:
        print("a later iteration has begun with the model before, and goes on with it")
    typed = as_typed(file, folder)
    print(f"without workers of a queue: entropy-flows run {typed}; then: status {typed}")
