"""Write the files that let FireWorks run campaigns in the queues of a cluster.

A category of jobs has a worker file and two queue files: one queue job for each job (`qlaunch -r`),
and one that takes one job after another (`qlaunch`). The worker is the batch process itself, so the
queue's SIGTERM reaches it.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from entropy_flows.files import replacing
from entropy_flows.launch import launcher_texts as texts
from entropy_flows.launch.local import THREADS
from entropy_flows.launch.walltime import clock, seconds
from entropy_flows.schemas.stages import stages_of

SCHEDULERS = ("slurm", "pbs")
MAX_POLLS = 20
"""Polls without a job, in all, after which a queue job that takes many jobs ends. One of category
cpu stays until its time is over: its jobs are short and come again and again.
"""
CPU_WORKER = "cpu_worker.sh"
"""Script that takes the jobs of category cpu without a queue."""


@dataclass(frozen=True)
class Queue:
    """The queue of one category.

    Parameters
    ----------
    partition
        SLURM's partition, or PBS' queue.
    walltime
        HH:MM:SS or D-HH:MM:SS.
    gres
        GPUs of a job, as SLURM writes it: "gpu:1", "gpu:a100:2".
    nodes, ntasks, cpus_per_task
        Nodes of a job, MPI ranks on all of them together, and cores of each rank; one thread per
        core.
    mem
        Memory of each node as SLURM writes it, such as "250G"; None leaves it to the site.
    qos, constraint
        Quality of service, and features of the nodes; SLURM alone has them.
    device
        Device for models and fingerprints (ENTROPY_FLOWS_DEVICE).
    modules
        Modules to load, after those of all categories.
    """

    partition: str
    walltime: str = "24:00:00"
    gres: str | None = None
    nodes: int = 1
    ntasks: int = 1
    cpus_per_task: int = 1
    mem: str | None = None
    qos: str | None = None
    constraint: str | None = None
    device: str = "cpu"
    modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cluster:
    """A cluster, as far as the launcher files depend on it.

    Parameters
    ----------
    scheduler
        slurm or pbs.
    gpu, dft, cpu
        The queue of each category.
    account
        Account to charge.
    modules
        Modules to load in every category.
    setup
        Further shell lines before the worker starts, such as activating an environment.
    lead
        Seconds from SIGTERM to the walltime's end.
    longest
        Longest job, HH:MM:SS: a queue job that takes many begins none when less than this is left.
        None takes a sixth of the walltime.
    max_jobs
        Jobs of a category in the queue at a time.
    heartbeat
        Seconds between two signs of life of a job.
    sleep
        Seconds between two looks for jobs.

    Raises
    ------
    ValueError
        If a value makes no sense, or the times do not fit into one another.
    """

    scheduler: str = "slurm"
    gpu: Queue = Queue("gpu", gres="gpu:1", device="cuda")
    dft: Queue = Queue("dft")
    cpu: Queue = Queue("cpu", "04:00:00")
    account: str | None = None
    modules: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    lead: int = 120
    longest: str | None = None
    max_jobs: int = 20
    heartbeat: float = 60
    sleep: int = 30

    def __post_init__(self) -> None:
        if self.scheduler not in SCHEDULERS:
            raise ValueError(f"scheduler {self.scheduler!r}: expected {' or '.join(SCHEDULERS)}")
        for name in ("lead", "max_jobs", "heartbeat", "sleep"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} {getattr(self, name)}: expected a number above 0")
        for category in self.queues:
            self.timeout(category)
            self._check_resources(category)
        queue_modules = [module for queue in self.queues.values() for module in queue.modules]
        for line in (*self.modules, *queue_modules, *self.setup):
            if "$$" in line or not line.isprintable():
                raise ValueError(
                    f"setup {line!r}: expected one printable line without $$, "
                    f"which FireWorks would drop"
                )

    def _check_resources(self, category: str) -> None:
        """Refuse what the scheduler would refuse, or would not understand."""
        queue = self.queues[category]
        for name in ("nodes", "ntasks", "cpus_per_task"):
            if getattr(queue, name) < 1:
                raise ValueError(f"{name} {getattr(queue, name)} of {category}: expected 1 or more")
        if queue.ntasks % queue.nodes:
            raise ValueError(
                f"ntasks {queue.ntasks} of {category}: expected a multiple of its {queue.nodes} "
                "nodes"
            )
        if queue.mem is not None and not re.fullmatch(r"[1-9]\d*[MGT]", queue.mem):
            raise ValueError(f"mem {queue.mem!r} of {category}: expected such as 250G or 8000M")
        for name in ("qos", "constraint"):
            value = getattr(queue, name)
            if value is None:
                continue
            if self.scheduler == "pbs":
                raise ValueError(f"{name} {value!r} of {category}: PBS has none")
            if not re.fullmatch(r"[^\s$]+", value):
                raise ValueError(f"{name} {value!r} of {category}: expected one word without $")

    @property
    def queues(self) -> dict[str, Queue]:
        """Category → queue."""
        return {"gpu": self.gpu, "dft": self.dft, "cpu": self.cpu}

    def longest_job(self, category: str) -> int:
        """Return the seconds that a category's longest job may take."""
        if self.longest:
            return seconds(self.longest)
        return seconds(self.queues[category].walltime) // 6

    def timeout(self, category: str) -> int:
        """Return the seconds after which a queue job of this category begins no further job.

        Raises
        ------
        ValueError
            If none are left.
        """
        walltime = self.queues[category].walltime
        left = seconds(walltime) - self.lead - self.longest_job(category)
        if left <= 0:
            raise ValueError(
                f"walltime {walltime} of {category} is too short: {self.lead} s from SIGTERM to "
                f"the end and {self.longest_job(category)} s for the longest job leave no time"
            )
        return left


def launcher_files(
    cluster: Cluster, folder: Path, command: str = "entropy-flows launchers"
) -> dict[str, str]:
    """Write the text of each launcher file.

    Parameters
    ----------
    cluster
        The cluster that they are filled in for.
    folder
        Folder of the files, which name one another by absolute path.
    command
        Command that the README says they were written by.

    Returns
    -------
    dict
        File name → text.

    Raises
    ------
    ValueError
        If the folder's path has characters that a batch script would take apart.
    """
    if not re.fullmatch(r"/[\w./+@%:=,-]*", str(folder)):
        raise ValueError(
            f"folder {folder}: expected an absolute path without blanks and shell characters"
        )
    heartbeat = cluster.heartbeat
    common = {
        "cluster": cluster,
        "folder": folder,
        "loops": MAX_POLLS,
        "pbs": cluster.scheduler == "pbs",
        "ping": int(heartbeat) if heartbeat == int(heartbeat) else heartbeat,
    }
    stages = {category: ", ".join(stages_of(category)) for category in cluster.queues}
    files = {
        "my_launchpad.yaml": texts.LAUNCHPAD,
        "jobflow.yaml": _fill(texts.JOBFLOW, **common),
        "FW_config.yaml": _fill(texts.FW_CONFIG, **common),
    }
    for category in cluster.queues:
        worker = _fill(texts.FWORKER, category=category, stages=stages[category])
        files[worker_file(category)] = worker
        for pull in (False, True):
            keys = _queue_keys(cluster, folder, category, pull)
            files[queue_file(category, pull)] = _fill(texts.QADAPTER, **common, **keys)
    if cluster.scheduler == "pbs":
        files["PBS_template.txt"] = texts.PBS_TEMPLATE
    keys = _queue_keys(cluster, folder, "cpu", False)
    files[CPU_WORKER] = _fill(texts.CPU_WORKER, **common, **keys)
    files["README.md"] = _fill(
        texts.README,
        **common,
        command=command,
        loop_of={category: _loop(cluster, folder, category) for category in cluster.queues},
        cpu_worker=folder / CPU_WORKER,
        resident=_loop(cluster, folder, "cpu", pull=True),
        longest=cluster.longest or "a sixth of its walltime",
        queues=cluster.queues,
        stages=stages,
    )
    return files


def write_launchers(
    cluster: Cluster, folder: Path, command: str, overwrite: bool = False
) -> list[str]:
    """Write all files, or none; arguments as in `launcher_files`.

    Returns
    -------
    list
        Names of the files.

    Raises
    ------
    ValueError
        If some exist and `overwrite` is false.
    """
    files = launcher_files(cluster, folder.resolve(), command)
    existing = sorted(name for name in files if (folder / name).exists())
    if existing and not overwrite:
        raise ValueError(f"{folder} has {', '.join(existing)}; --overwrite replaces them")
    folder.mkdir(parents=True, exist_ok=True)
    # all are written before the first takes its place: a full disk leaves them as they were
    with ExitStack() as stack:
        for name, text in files.items():
            path = stack.enter_context(replacing(folder / name))
            path.write_text(text)
            if name == CPU_WORKER:
                path.chmod(0o755)
    return list(files)


def worker_file(category: str) -> str:
    """Return the name of a category's worker file."""
    return f"my_fworker_{category}.yaml"


def queue_file(category: str, pull: bool = False) -> str:
    """Return the name of a category's queue file.

    It is that of one queue job for each job or, with `pull`, of one that takes many jobs.
    """
    return f"my_qadapter_{category}{'_pull' if pull else ''}.yaml"


def _queue_keys(cluster: Cluster, folder: Path, category: str, pull: bool) -> dict[str, object]:
    """Return what is filled into one queue file alone."""
    queue = cluster.queues[category]
    timeout = cluster.timeout(category)
    sigterm_after = seconds(queue.walltime) - cluster.lead
    mode = "singleshot"
    if pull:
        limit = "" if category == "cpu" else f" --max_loops {MAX_POLLS}"
        mode = f"rapidfire --timeout {timeout}{limit} --sleep {cluster.sleep}"
    files = f"-l {folder}/my_launchpad.yaml -w {folder}/{worker_file(category)}"
    threads = " ".join(f"{name}={queue.cpus_per_task}" for name in THREADS)
    preparation = [
        *(f"module load {module}" for module in (*cluster.modules, *queue.modules)),
        *cluster.setup,
        f"export FW_CONFIG_FILE={folder}/FW_config.yaml",
        f"export {threads}",
        f"export ENTROPY_FLOWS_DEVICE={queue.device}",
    ]
    return {
        "category": category,
        "pull": pull,
        "queue": queue,
        "rlaunch": f"rlaunch {files} {mode}",
        "files": files,
        "timeout": timeout,
        "longest": clock(cluster.longest_job(category)),
        "walltime": clock(seconds(queue.walltime)),
        "timeout_command": f"timeout --foreground --signal=TERM {sigterm_after}",
        "select": _pbs_resources(queue),
        "preparation": preparation,
    }


def _loop(cluster: Cluster, folder: Path, category: str, pull: bool = False) -> str:
    """Write the command that keeps a category's jobs in the queue; with `pull`, one that stays.

    It works from a shell that has exported nothing.
    """
    files = (
        f"-l {folder}/my_launchpad.yaml -w {folder}/{worker_file(category)} "
        f"-q {folder}/{queue_file(category, pull)}"
    )
    mode = "" if pull else "-r "
    loop = f"qlaunch -d 60 {mode}{files} rapidfire -m {1 if pull else cluster.max_jobs}"
    return f"FW_CONFIG_FILE={folder}/FW_config.yaml nohup {loop} > qlaunch_{category}.log 2>&1 &"


def _pbs_resources(queue: Queue) -> str:
    """Write a job's resources as PBS reads them."""
    ranks = queue.ntasks // queue.nodes
    resources = f"{queue.nodes}:ncpus={ranks * queue.cpus_per_task}:mpiprocs={ranks}"
    if queue.mem:
        resources += f":mem={queue.mem.lower()}b"
    if queue.gres:
        gpus = queue.gres.rpartition(":")[2]
        resources += f":ngpus={gpus}"
    return resources


def _fill(text: str, **values: object) -> str:
    environment = Environment(
        undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    return environment.from_string(text).render(**values)
