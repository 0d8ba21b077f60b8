"""`entropy-flows launchers`: the files for running campaigns in a cluster's queues."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

QUEUE_CATEGORIES = ("gpu", "dft", "cpu")
PATH_LINE = f"export PATH={Path(sys.executable).parent}:$PATH"
"""Shell line that finds the programs beside the Python that writes the files, as the default."""


def command(
    folder: Annotated[
        Path, typer.Argument(help="Folder for the files, on a disk that all nodes share.")
    ],
    scheduler: Annotated[str, typer.Option(help="slurm or pbs.")] = "slurm",
    partition_gpu: Annotated[
        str, typer.Option(help="Partition (PBS: queue) for explore, refine, train.")
    ] = "gpu",
    partition_dft: Annotated[str, typer.Option(help="Partition for labels.")] = "dft",
    partition_cpu: Annotated[str, typer.Option(help="Partition for the others.")] = "cpu",
    walltime_gpu: Annotated[str, typer.Option(help="HH:MM:SS or D-HH:MM:SS.")] = "24:00:00",
    walltime_dft: Annotated[str, typer.Option()] = "24:00:00",
    walltime_cpu: Annotated[str, typer.Option()] = "04:00:00",
    gres: Annotated[
        str, typer.Option(help="GPUs of a gpu job, as SLURM writes it; '' for none.")
    ] = "gpu:1",
    gres_dft: Annotated[
        str | None, typer.Option(help="GPUs of each node of a label's job, such as gpu:4.")
    ] = None,
    mem: Annotated[
        list[str] | None,
        typer.Option(help="Memory of a node, such as 8G, or of a category: dft=250G. Repeatable."),
    ] = None,
    qos: Annotated[
        list[str] | None, typer.Option(help="Quality of service, or gpu=NAME. Repeatable.")
    ] = None,
    constraint: Annotated[
        list[str] | None, typer.Option(help="Features of nodes, or gpu=a100. Repeatable.")
    ] = None,
    device: Annotated[str, typer.Option(help="Device of gpu jobs: cuda, or cpu.")] = "cuda",
    nodes_dft: Annotated[int, typer.Option(help="Nodes of a label's job.")] = 1,
    ntasks_dft: Annotated[
        int, typer.Option(help="MPI ranks of a label's job, on all its nodes together.")
    ] = 1,
    cpus_per_task_dft: Annotated[int, typer.Option(help="Cores, and threads, of each rank.")] = 1,
    account: Annotated[str | None, typer.Option(help="Account to charge.")] = None,
    module: Annotated[
        list[str] | None,
        typer.Option(
            help="Module to load in every job; may be given several times, as those below."
        ),
    ] = None,
    module_gpu: Annotated[
        list[str] | None, typer.Option(help="Module of gpu jobs alone, such as cuda.")
    ] = None,
    module_dft: Annotated[
        list[str] | None, typer.Option(help="Module of dft jobs alone, such as vasp.")
    ] = None,
    module_cpu: Annotated[list[str] | None, typer.Option(help="Module of cpu jobs alone.")] = None,
    setup: Annotated[
        list[str] | None,
        typer.Option(
            help="Shell line before the worker starts, may be given several times. "
            "Default: set PATH."
        ),
    ] = None,
    lead: Annotated[int, typer.Option(help="Seconds from SIGTERM to the walltime's end.")] = 120,
    longest_job: Annotated[
        str | None,
        typer.Option(
            help="HH:MM:SS: with less left, no other job is begun. "
            "Default: a sixth of the walltime."
        ),
    ] = None,
    max_jobs: Annotated[int, typer.Option(help="Jobs of a category in the queue at a time.")] = 20,
    sleep: Annotated[int, typer.Option(help="Seconds between two looks for jobs.")] = 30,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that exist.")
    ] = False,
) -> None:
    """Write FireWorks' and jobflow's files for a cluster, with a README that has the commands.

    Example: entropy-flows launchers launchers --account abc123 --nodes-dft 2 --ntasks-dft 128
    --mem dft=250G --qos gpu=long --module-dft vasp/6.4
    """
    from entropy_flows.launch.launchers import Cluster, Queue, write_launchers
    from entropy_flows.settings import settings

    resources = resources_of({"mem": mem, "qos": qos, "constraint": constraint})
    cluster = Cluster(
        scheduler=scheduler,
        gpu=Queue(
            partition_gpu,
            walltime_gpu,
            gres=gres or None,
            device=device,
            modules=tuple(module_gpu or ()),
            **resources["gpu"],
        ),
        dft=Queue(
            partition_dft,
            walltime_dft,
            gres=gres_dft or None,
            nodes=nodes_dft,
            ntasks=ntasks_dft,
            cpus_per_task=cpus_per_task_dft,
            modules=tuple(module_dft or ()),
            **resources["dft"],
        ),
        cpu=Queue(partition_cpu, walltime_cpu, modules=tuple(module_cpu or ()), **resources["cpu"]),
        account=account,
        modules=tuple(module or ()),
        setup=tuple(setup or [PATH_LINE]),
        lead=lead,
        longest=longest_job,
        max_jobs=max_jobs,
        heartbeat=settings().heartbeat,
        sleep=sleep,
    )
    typed = shlex.join(["entropy-flows", *sys.argv[1:]])
    names = write_launchers(cluster, folder, typed, overwrite)
    print(f"written: {folder}/ {', '.join(names)}\nnext:    {folder}/README.md")


def resources_of(
    options: Mapping[str, Sequence[str] | None],
) -> dict[str, dict[str, Any]]:
    """Return category → what its jobs ask of a node, by the options' names."""
    values = {name: by_category(name, given or ()) for name, given in options.items()}
    return {
        category: {name: by_name[category] for name, by_name in values.items()}
        for category in QUEUE_CATEGORIES
    }


def by_category(option: str, given: Sequence[str]) -> dict[str, str | None]:
    """Read an option that is a value for all categories, or one for a category: `dft=250G`.

    Returns
    -------
    dict
        Category → its own value, else that for all, else None.

    Raises
    ------
    ValueError
        If a value is for no category that there is, or two are for the same.
    """
    values: dict[str, str] = {}
    for text in given:
        category, equals, value = text.rpartition("=")
        if equals and category not in QUEUE_CATEGORIES:
            expected = ", ".join(f"{name}=VALUE" for name in QUEUE_CATEGORIES)
            raise ValueError(f"--{option} {text}: expected VALUE, or {expected}")
        if category in values:
            raise ValueError(f"--{option} {text}: {values[category]} was given for the same jobs")
        values[category] = value
    return {category: values.get(category, values.get("")) for category in QUEUE_CATEGORIES}
