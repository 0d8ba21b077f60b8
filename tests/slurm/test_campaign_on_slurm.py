"""A campaign on a real SLURM, from `submit` through `qlaunch` to the last iteration, with files
that the command wrote.

Each job runs in the partition of its category, once. SIGTERM reaches the worker when its queue job
is cancelled and before its walltime is over; a stage then saves its work and its job is ready for
another worker.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli.test_loop import campaign_file
from fireworks import Firework, PyTask
from pymongo.database import Database
from slurm.cluster import Finished, SlurmCluster, slurm_cluster, wait_for

from entropy_flows.launch.launchpad import launchpad
from entropy_flows.store import connect
from entropy_flows.store.embedded import embedded_server

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(2400)]

CATEGORIES = ("gpu", "dft", "cpu")
BIN = Path(sys.executable).parent
KILL_WAIT = 10
OPTIONS = ("--device", "cpu", "--lead", "30", "--longest-job", "00:00:10", "--sleep", "1")


@dataclass
class Site:
    """A cluster user's account: a cluster, a database, a folder, and the environment that goes with
    these.
    """

    cluster: SlurmCluster
    folder: Path
    environment: dict[str, str]
    database: Database
    before: int

    def finished(self) -> dict[str, Finished]:
        """What SLURM has done with since this test began."""
        return {job.id: job for job in self.cluster.finished()[self.before :]}

    @property
    def launchers(self) -> Path:
        return self.folder / "launchers"

    def program(self, *command: object, cwd: Path | None = None) -> str:
        done = subprocess.run(
            [str(BIN / str(command[0])), *map(str, command[1:])],
            env=self.environment,
            cwd=cwd or self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def files(self, category: str, kind: str = "") -> list[str]:
        """FireWorks' options for a category."""
        names = {
            "l": "my_launchpad",
            "w": f"my_fworker_{category}",
            "q": f"my_qadapter_{category}{kind}",
        }
        return [
            part
            for option, name in names.items()
            for part in (f"-{option}", f"{self.launchers / name}.yaml")
        ]

    def jobs(self) -> dict[int, dict]:
        """Every job on the launchpad, with its launches."""
        jobs = {job["fw_id"]: job for job in self.database["fireworks"].find({})}
        for job in jobs.values():
            job["launches"] = list(
                self.database["launches"].find({"launch_id": {"$in": job["launches"]}})
            )
        return jobs

    def submit(self, campaign: Path) -> None:
        """Launchers, checked, and the campaign on the launchpad."""
        self.program("entropy-flows", "submit", campaign)
        checked = self.program("entropy-flows", "check", campaign, "--launchers", self.launchers)
        assert "\nok\n" in checked

    @contextmanager
    def loops(self, *options: str, kind: str = "") -> Iterator[None]:
        """`qlaunch rapidfire` for each category, again and again, as the README has it."""
        launches = self.folder / "launches"
        launches.mkdir()
        command = [str(BIN / "qlaunch"), "-d", "1", *(["-r"] if not kind else [])]
        running = []
        try:
            for category in CATEGORIES:
                with (self.folder / f"qlaunch_{category}.log").open("wb") as log:
                    running.append(
                        subprocess.Popen(
                            [*command, *self.files(category, kind), "rapidfire", *options],
                            env=self.environment,
                            cwd=launches,
                            stdout=log,
                            stderr=log,
                        )
                    )
            yield
        finally:
            for process in running:
                process.terminate()
                process.wait(10)

    def wait_until_done(self, seconds: float) -> None:
        def ended() -> bool:
            failed = [
                job["name"]
                for job in self.jobs().values()
                if job["state"] in ("FIZZLED", "DEFUSED")
            ]
            assert not failed, f"{failed}; see {self.folder}"
            return self.database["campaigns"].find_one()["state"] in ("done", "failed")

        wait_for(ended, seconds, f"the campaign to end; see {self.folder}")
        wait_for(lambda: not self.cluster.queued(), 120, "the queue to be empty")
        assert self.database["campaigns"].find_one()["state"] == "done"


@pytest.fixture(scope="module")
def cluster() -> Iterator[SlurmCluster]:
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    with slurm_cluster(folder, cpus=4, kill_wait=KILL_WAIT) as running:
        yield running
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def uri(tmp_path_factory) -> Iterator[str]:
    with embedded_server(tmp_path_factory.mktemp("server") / "database") as uri:
        yield uri


@pytest.fixture
def site(cluster, uri, tmp_path, request, monkeypatch) -> Iterator[Site]:
    """A user's account on that cluster, with a database of its own."""
    from entropy_flows.settings import settings

    own = {
        "ENTROPY_FLOWS_URI": uri,
        "ENTROPY_FLOWS_DATABASE": request.node.name[:60],
        "ENTROPY_FLOWS_CACHE": str(tmp_path / "cache"),
        "ENTROPY_FLOWS_HEARTBEAT": "5",
        "ENTROPY_FLOWS_CHECKPOINT": "1",
    }
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    environment = {
        **cluster.environment,
        **own,
        "FW_CONFIG_FILE": str(tmp_path / "launchers" / "FW_config.yaml"),
    }
    environment["PATH"] = os.pathsep.join([str(BIN), environment["PATH"]])
    made = Site(cluster, tmp_path, environment, connect(), len(cluster.finished()))
    yield made
    cluster.cancel_all()
    made.database.client.drop_database(made.database.name)
    settings.cache_clear()


def write_launchers(site: Site, walltime: str = "00:20:00") -> None:
    walltimes = [part for category in CATEGORIES for part in (f"--walltime-{category}", walltime)]
    site.program("entropy-flows", "launchers", site.launchers, *OPTIONS, *walltimes)


def measured(what: str, started: float, finished: list[Finished], jobs: int) -> None:
    seconds = statistics.median(job.seconds for job in finished)
    print(
        f"\n{what}: {jobs} jobs in {len(finished)} queue jobs, {time.time() - started:.0f} s, "
        f"median {seconds:.0f} s in the queue job"
    )


def test_campaign_with_a_queue_job_for_each_job(site):
    write_launchers(site)
    started = time.time()
    site.submit(campaign_file(site.folder))
    with site.loops("-m", "8"):
        site.wait_until_done(1500)
    jobs, finished = site.jobs(), site.finished()
    measured("qlaunch -r", started, list(finished.values()), len(jobs))
    assert [doc["iteration"] for doc in site.database["iterations"].find().sort("iteration")] == [
        1,
        2,
    ]
    assert {job["spec"]["_category"] for job in jobs.values()} == set(CATEGORIES)
    reserved = {}
    for job in jobs.values():
        assert job["state"] == "COMPLETED"
        assert job["archived_launches"] == []
        (launch,) = job["launches"]
        (queued,) = [
            entry["reservation_id"]
            for entry in launch["state_history"]
            if "reservation_id" in entry
        ]
        reserved[queued] = job["spec"]["_category"]
    assert len(reserved) == len(jobs)
    assert {number: job.partition for number, job in finished.items()} == reserved
    assert {job.state for job in finished.values()} == {"COMPLETED"}
    secret = site.environment["ENTROPY_FLOWS_URI"].removeprefix("mongodb://").strip("/")
    written = [
        path
        for top in ("launches", "launchers")
        for path in (site.folder / top).rglob("*")
        if path.is_file()
    ]
    assert any(path.name == "FW_submit.script" for path in written)
    assert not [path for path in written if secret in path.read_text(errors="replace")]


def test_campaign_with_queue_jobs_that_take_many_jobs(site):
    write_launchers(site)
    started = time.time()
    site.submit(campaign_file(site.folder, stop={"max_iterations": 1, "label_budget": 8}))
    with site.loops("-m", "1", kind="_pull"):
        site.wait_until_done(900)
    jobs, finished = site.jobs(), site.finished()
    measured("qlaunch", started, list(finished.values()), len(jobs))
    assert len(finished) < len(jobs)
    for job in jobs.values():
        assert job["state"] == "COMPLETED"
        (launch,) = job["launches"]
        (output,) = Path(launch["launch_dir"]).parent.glob("ef-*.out")
        queued = output.stem.rpartition("-")[2]
        assert finished[queued].partition == job["spec"]["_category"]


def test_sigterm_comes_with_scancel_and_before_the_walltime_is_over(site, monkeypatch):
    """SLURM's times are minutes: a signal may come up to one earlier, the end up to one later."""
    write_launchers(site, "00:02:00")
    monkeypatch.setitem(site.environment, "PYTHONPATH", str(Path(__file__).parent))
    pad = launchpad()
    pad.reset("", require_password=False, max_reset_wo_password=0)
    logs = {name: site.folder / name for name in ("cancelled", "over")}
    for log in logs.values():
        task = PyTask(func="signalled.live", args=[str(log)])
        pad.add_wf(Firework(task, spec={"_category": "gpu"}, name=log.name))
        site.program(
            "qlaunch",
            "-r",
            *site.files("gpu"),
            "singleshot",
            cwd=_made(site.folder / f"in_{log.name}"),
        )
    wait_for(lambda: all(log.is_file() for log in logs.values()), 90, "both to run")
    queued = {
        job["name"]: job["launches"][0]["state_history"][0]["reservation_id"]
        for job in site.jobs().values()
    }
    site.cluster.cancel(queued["cancelled"])
    wait_for(lambda: not site.cluster.queued(), 300, "both to end")
    states = {job.id: job.state for job in site.finished().values()}
    assert states == {queued["cancelled"]: "CANCELLED", queued["over"]: "TIMEOUT"}
    for name, lead in (("cancelled", 0.5 * KILL_WAIT), ("over", 30)):
        first, *_, last = map(float, logs[name].read_text().split())
        print(f"\n{name}: {last - first:.1f} s from SIGTERM to SIGKILL")
        assert last - first > lead


def test_a_cancelled_exploration_is_saved_and_ready_for_another_worker(site):
    write_launchers(site)
    long = {"temperatures": [600], "entropy_weights": [3], "phases": ["diamond"], "steps": 5000}
    site.submit(
        campaign_file(site.folder, explore={**long, "warm_up": 5, "ramp": 5, "batch_size": 2})
    )
    explore = next(fw_id for fw_id, job in site.jobs().items() if job["name"] == "explore")
    launch = _made(site.folder / "launch")
    site.program("qlaunch", "-r", *site.files("gpu"), "singleshot", "-f", explore, cwd=launch)
    kept = site.folder / "cache" / "checkpoints"
    wait_for(lambda: _files(kept), 120, "a checkpoint")
    (queued,) = site.cluster.queued()
    before = _files(kept)
    time.sleep(2)
    site.cluster.cancel(queued)
    wait_for(lambda: not site.cluster.queued(), 60, "the worker to end")
    job = site.jobs()[explore]
    assert job["state"] == "READY"
    assert job["launches"] == []
    after = _files(kept)
    assert after.keys() == before.keys()
    assert after != before
    site.program("qlaunch", "-r", *site.files("gpu"), "singleshot", "-f", explore, cwd=launch)
    wait_for(lambda: _files(kept) != after, 120, "the next worker to go on")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _files(folder: Path) -> dict[Path, int]:
    """Files below a folder, and when each was written."""
    found = {}
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file() and not path.name.startswith((".", "tmp")):
                found[path] = path.stat().st_mtime_ns
    return found
