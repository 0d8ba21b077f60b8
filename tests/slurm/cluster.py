"""A real SLURM cluster on this machine: munged, slurmctld and slurmd on loopback, with partitions
cpu, gpu and dft.

Everything lies in one folder and is ended by process id. The node has as many CPUs and GPUs as
asked for, whatever the machine has: GPUs are only counted, and CPUs are shared.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

PARTITIONS = ("cpu", "gpu", "dft")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo")
SYSTEM = ("/usr/local/sbin", "/usr/sbin", "/sbin")
CONFIG = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/finished.txt
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
ReturnToService=2
KillWait={kill_wait}
OverTimeLimit=0
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} Gres=gpu:{cpus} State=UNKNOWN
"""


@dataclass(frozen=True)
class Finished:
    """A job that SLURM has done with: its id, partition, name, end state, and seconds from start to
    end.
    """

    id: str
    partition: str
    name: str
    state: str
    seconds: float


@dataclass
class SlurmCluster:
    """A running cluster.

    Parameters
    ----------
    folder
        Where its configuration, state and logs are.
    environment
        Environment for programs that talk to it: this process's, with SLURM_CONF.
    """

    folder: Path
    environment: dict[str, str]
    daemons: dict[str, subprocess.Popen] = field(default_factory=dict)

    def run(self, *command: object, **options) -> str:
        """Output of a program; a CalledProcessError if it fails."""
        options = {
            "env": self.environment,
            "text": True,
            "capture_output": True,
            "check": True,
            **options,
        }
        return subprocess.run([str(part) for part in command], **options).stdout

    def start(self, name: str) -> None:
        """Start one of the daemons munged, slurmctld and slurmd."""
        options = {
            "munged": [
                "--foreground",
                "--force",
                f"--key-file={self.folder}/munge.key",
                f"--socket={self.folder}/munge.socket",
                f"--pid-file={self.folder}/munged.pid",
                f"--seed-file={self.folder}/munge.seed",
                f"--log-file={self.folder}/munged.log",
            ],
            "slurmctld": ["-D", "-i"],
            "slurmd": ["-D"],
        }[name]
        with (self.folder / f"{name}.out").open("ab") as log:
            self.daemons[name] = subprocess.Popen(
                [_program(name), *options],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """End one of the daemons by its process id; jobs that run go on."""
        daemon = self.daemons.pop(name)
        daemon.send_signal(number)
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def queued(self) -> dict[str, str]:
        """Job id → state of those that wait, run or end."""
        lines = self.run("squeue", "--noheader", "--format=%i %T").splitlines()
        return dict(line.split() for line in lines)

    def finished(self) -> list[Finished]:
        """Every job that has ended, in order."""
        path = self.folder / "finished.txt"
        found = []
        for line in path.read_text().splitlines() if path.is_file() else []:
            job = dict(part.partition("=")[::2] for part in line.split())
            seconds = _seconds(job["StartTime"], job["EndTime"])
            found.append(
                Finished(job["JobId"], job["Partition"], job["Name"], job["JobState"], seconds)
            )
        return found

    def resume_drained(self) -> bool:
        """Do an operator's work: put a drained node back to use, and let its held jobs go.

        A controller that was killed may come back, find two jobs of one number on the node, drain
        it, and hold the job.

        Returns
        -------
        bool
            Whether there was a drained node.
        """
        if "drain" not in self.run("sinfo", "--noheader", "--format=%T"):
            return False
        node = self.run("sinfo", "--noheader", "--format=%n").split()[0]
        self.run("scontrol", "update", f"nodename={node}", "state=resume")
        for job in self.queued():
            self.run("scontrol", "release", job)
        return True

    def cancel(self, *jobs: str) -> None:
        """`scancel`: SIGTERM, and SIGKILL after the cluster's KillWait."""
        self.run("scancel", *jobs)

    def processes(self, job: str | None = None) -> dict[int, str]:
        """Process id → command line of everything that runs in a job, or in any job."""
        wanted = f"SLURM_CONF={self.folder}/slurm.conf", f"SLURM_JOB_ID={job or ''}"
        found = {}
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                variables = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
                here = [value for value in variables if value.startswith("SLURM_JOB_ID=")]
                if (
                    entry.name.isdigit()
                    and wanted[0] in variables
                    and here
                    and (job is None or wanted[1] in here)
                ):
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                    found[int(entry.name)] = line
        return found

    def cancel_all(self, seconds: float = 60) -> None:
        """Cancel what waits, kill what runs, and wait until the queue is empty."""
        self.run("scancel", f"--user={_user()}", "--state=PENDING")
        self.run("scancel", "--full", "--signal=KILL", f"--user={_user()}")
        wait_for(lambda: not self.queued(), seconds, "the queue to be empty")

    def stop(self) -> None:
        """Cancel all jobs, end what is left of them, and the daemons."""
        with suppress(subprocess.SubprocessError, TimeoutError):
            self.cancel_all()
        for name in ("slurmd", "slurmctld", "munged"):
            if name in self.daemons:
                self.kill(name, signal.SIGTERM)
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def slurm_cluster(folder: Path, cpus: int = 4, kill_wait: int = 30) -> Iterator[SlurmCluster]:
    """A cluster for the length of the block.

    Parameters
    ----------
    folder
        Made if missing; its path is part of a socket's, so at most 90 characters long.
    cpus
        CPUs, and GPUs, of the only node: so many jobs run at once.
    kill_wait
        Seconds between SIGTERM and SIGKILL (KillWait).

    Yields
    ------
    SlurmCluster
        With its node idle.
    """
    missing = [name for name in PROGRAMS if _program(name) is None]
    if missing:
        raise RuntimeError(
            f"not installed: {', '.join(missing)}; as root: apt-get install slurm-wlm munge"
        )
    folder = folder.resolve()
    for part in ("state", "spool"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "munge.key").touch(mode=0o600)
    (folder / "munge.key").write_bytes(secrets.token_bytes(128))
    (folder / "slurm.conf").write_text(_configuration(folder, cpus, kill_wait))
    host = socket.gethostname().split(".")[0]
    for number in range(cpus):  # slurmd complains that these are no devices, and counts them
        (folder / f"gpu{number}").touch()
    (folder / "gres.conf").write_text(f"NodeName={host} Name=gpu File={folder}/gpu[0-{cpus - 1}]\n")
    cluster = SlurmCluster(folder, {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")})
    try:
        cluster.start("munged")
        wait_for((folder / "munge.socket").exists, 20, "munged")
        for name in ("slurmctld", "slurmd"):
            cluster.start(name)
        wait_for(lambda: _idle(cluster), 60, f"the node to be idle; see the logs in {folder}")
        yield cluster
    finally:
        cluster.stop()


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Return as soon as a condition holds; a TimeoutError if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.2)


def _configuration(folder: Path, cpus: int, kill_wait: int) -> str:
    """slurm.conf, on two free ports."""
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        ports = first.getsockname()[1], second.getsockname()[1]
    host = socket.gethostname().split(".")[0]
    text = CONFIG.format(
        folder=folder, host=host, user=_user(), ports=ports, cpus=cpus, kill_wait=kill_wait
    )
    partitions = [
        f"PartitionName={name} Nodes={host} MaxTime=INFINITE State=UP" for name in PARTITIONS
    ]
    return text + "\n".join(partitions) + "\n"


def _idle(cluster: SlurmCluster) -> bool:
    done = subprocess.run(
        ["sinfo", "--noheader", "--format=%T"],
        env=cluster.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0 and done.stdout.split() == ["idle"]


def _seconds(start: str, end: str) -> float:
    """Between two of SLURM's times; 0 for a job that never started."""
    with suppress(ValueError):
        return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    return 0.0


def _program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(SYSTEM))


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name
