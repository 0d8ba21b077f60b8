"""`entropy-flows project`: a project of jobflow-remote for campaigns."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

SCHEDULERS = ("shell", "slurm", "pbs", "sge")


def command(
    name: Annotated[str, typer.Argument(help="Name of the project.")],
    work_dir: Annotated[
        Path, typer.Option(help="Folder of the jobs' files, on a disk that all nodes share.")
    ] = Path("jobs"),
    scheduler: Annotated[
        str, typer.Option(help="shell (processes of this machine), slurm, pbs or sge.")
    ] = "shell",
    resources: Annotated[
        list[str] | None,
        typer.Option(
            help="What jobs ask of the queue: KEY=VALUE, or CATEGORY.KEY=VALUE, such as "
            "gpu.partition=gpu. Repeatable."
        ),
    ] = None,
    category: Annotated[
        list[str] | None,
        typer.Option(help="Worker to write. Repeatable; default: cpu, gpu and dft."),
    ] = None,
    seconds: Annotated[int, typer.Option(min=1, help="Time between two looks of the runner.")] = 10,
    max_jobs: Annotated[
        int | None, typer.Option(min=1, help="Jobs of a worker at once. Default: any number.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file.")] = False,
) -> None:
    """Write a project of jobflow-remote whose workers run campaigns, and print what is next.

    Example: entropy-flows project mine --work-dir /scratch/mine --scheduler slurm
    --resources time=24:00:00 --resources gpu.partition=gpu --resources gpu.gres=gpu:1
    """
    from entropy_flows.launch.remote.project_file import ProjectFile, projects_folder

    if scheduler not in SCHEDULERS:
        raise ValueError(f"--scheduler {scheduler}: expected one of {', '.join(SCHEDULERS)}")
    categories = tuple(category or ("cpu", "gpu", "dft"))
    file = ProjectFile(
        name,
        work_dir.resolve(),
        scheduler,
        categories,
        resources_by_category(resources or [], categories),
        seconds=seconds,
        max_jobs=max_jobs if max_jobs or scheduler != "shell" else 1,
    )
    path = file.write(projects_folder(), overwrite)
    print(f"written: {path}")
    print(f"next:    entropy-flows submit CAMPAIGN.yaml --manager jobflow-remote --project {name}")
    print(f"then:    jf -p {name} runner start")


def resources_by_category(
    given: list[str], categories: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    """Read KEY=VALUE for all categories, and CATEGORY.KEY=VALUE for one.

    Returns
    -------
    dict
        Category → key → value.

    Raises
    ------
    ValueError
        If it is neither, or there is no such category.
    """
    resources: dict[str, dict[str, Any]] = {name: {} for name in categories}
    # those of one category have the last word
    for text in sorted(given, key=lambda item: "." in item.partition("=")[0]):
        path, equals, value = text.partition("=")
        category, _, key = path.rpartition(".")
        if not equals or not key or (category and category not in resources):
            raise ValueError(
                f"--resources {text}: expected KEY=VALUE or CATEGORY.KEY=VALUE with a category of "
                f"{', '.join(categories)}"
            )
        for name in [category] if category else categories:
            resources[name][key] = value
    return resources
