"""Campaigns under jobflow-remote, with a real runner: the same ledger as under the other managers,
whatever is killed on the way.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from shutil import which

import copper
import pytest
import yaml
from cli.test_loop import campaign_file as silicon_file
from remote.site import RemoteSite, remote_site, wait_for
from slurm.cluster import PROGRAMS, slurm_cluster

pytest.importorskip("jobflow_remote", reason="needs the extra `remote`: make test-remote")

pytestmark = [pytest.mark.remote, pytest.mark.timeout(7200)]

PLACES = ("submitted", "stored", "adding", "added", "ended")
"""Places at which a runner dies; see `remote.dying_runner`."""


@pytest.fixture
def site(tmp_path, monkeypatch):
    copper.importable(monkeypatch)
    with remote_site(tmp_path, EMT_LOG=str(tmp_path / "labels.log")) as opened:
        copper.base_model(tmp_path)
        options = ("--work-dir", tmp_path / "jobs", "--seconds", 1, "--max-jobs", 2)
        opened.program("entropy-flows", "project", "site", *options)
        yield opened


def two_iterations(folder: Path, name: str = "copper") -> Path:
    """A campaign whose labels are runs of a program, one job each."""
    path = copper.campaign_file(folder, name, stop={"max_iterations": 2})
    config = yaml.safe_load(path.read_text())
    config["label"] = {"engine": "custom", "maker": "remote.emt_maker:static"}
    path.write_text(yaml.safe_dump(config))
    return path


def submit(site: RemoteSite, path: Path) -> str:
    options = ("--manager", "jobflow-remote", "--project", "site")
    return site.program("entropy-flows", "submit", path, *options)


def state(site: RemoteSite, name: str = "copper") -> str:
    return site.database["campaigns"].find_one({"name": name})["state"]


def run_to_end(site: RemoteSite, path: Path, seconds: float = 6000) -> None:
    """Runner and repairs until the campaign has ended, as cron would have them."""
    site.start_runner()
    deadline = time.monotonic() + seconds
    broken = {"$or": [{"state": {"$in": ["FAILED", "REMOTE_ERROR"]}}, {"lock_id": {"$ne": None}}]}
    while state(site, path.stem) == "running":
        assert time.monotonic() < deadline, site.program("entropy-flows", "status", path)
        time.sleep(3)
        if site.jobs(**broken):
            site.program("entropy-flows", "repair", path, "--patience", 20)
    unfinished = {"state": {"$ne": "COMPLETED"}}
    wait_for(lambda: not site.jobs(**unfinished), 1200, "the last job")
    site.end_runner()


def ledger(database, campaign: str) -> list[tuple]:
    """All that a campaign has found: cells, gains, labels, splits, errors and models."""
    rows = []
    for entry in database["structures"].find({"campaign": campaign}).sort("position", 1):
        label = database["labels"].find_one({"structure_id": entry["_id"], "campaign": campaign})
        sites = [site["xyz"] for site in entry["structure"]["sites"]]
        labelled = [label[name] for name in ("energy", "forces", "stress", "split")]
        rows.append((entry["position"], entry["key"], entry["gain"], sites, *labelled))
    iterations = database["iterations"].find({"campaign": campaign}).sort("iteration", 1)
    errors = [(row["evaluate"]["before"], row["evaluate"]["after"]) for row in iterations]
    models = database["models"].find({"campaign": campaign}).sort("iteration", 1)
    return [*rows, *errors, *((row["iteration"], row["sha256"]) for row in models)]


def by_other_manager(folder: Path, *options: str) -> list[tuple]:
    """The ledger of the same campaign by `run`: FireWorks' workers, or this process alone."""
    with remote_site(folder) as other:
        copper.base_model(folder)
        path = two_iterations(folder)
        other.program("entropy-flows", "run", path, *options, timeout=15000)
        return ledger(other.database, "copper")


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> list[tuple]:
    with pytest.MonkeyPatch.context() as patch:
        copper.importable(patch)
        return by_other_manager(tmp_path_factory.mktemp("fireworks"), "--workers", "2")


def test_a_campaign_from_submission_to_deletion(site, tmp_path):
    path = copper.campaign_file(tmp_path, physics={"checks": ["eos"]})
    said = submit(site, path)
    assert "jf -p site runner start" in said
    assert "was submitted before" in submit(site, path)
    jobs = {job["uuid"] for job in site.jobs()}
    assert len(jobs) == len(site.jobs())
    assert "jf -p site runner start" in site.program("entropy-flows", "status", path)
    run_to_end(site, path)
    assert "all is well" in site.program("entropy-flows", "verify", path)
    assert "starts its workers itself" in site.program("entropy-flows", "run", path, code=1)
    other = site.program("entropy-flows", "submit", path, "--manager", "fireworks", code=1)
    assert "stays with its workflow manager" in other
    after_the_end(site, path)
    site.program("entropy-flows", "delete", path, "--yes")
    assert site.jobs() == list(site.database["flows"].find({})) == []


def after_the_end(site: RemoteSite, path: Path) -> None:
    """A training again and a physics check go to the same manager."""
    site.program("entropy-flows", "retrain", path)
    site.program("entropy-flows", "physics", path, "--queue")
    assert {job["job"]["name"] for job in site.jobs(state="READY")} >= {"retrain", "physics"}
    site.start_runner()
    wait_for(lambda: not site.jobs(state={"$ne": "COMPLETED"}), 1200, "both jobs")
    site.end_runner()
    assert site.database["versions"].count_documents({"campaign": "copper"}) == 1
    assert site.database["failures"].count_documents({}) == 0


def test_whatever_is_killed_the_ledger_is_that_of_the_other_managers(site, reference, tmp_path):
    (tmp_path / "local").mkdir()
    locally = by_other_manager(tmp_path / "local", "--local")
    assert len(reference) > 8
    assert locally == reference
    path = two_iterations(tmp_path)
    submit(site, path)
    for place in PLACES:
        die_at(site, place)
        site.program("entropy-flows", "repair", path, "--patience", 0)
    kill_a_worker(site, path)
    run_to_end(site, path)
    assert ledger(site.database, "copper") == reference
    assert "all is well" in site.program("entropy-flows", "verify", path)
    # labelled once each, by a job that a second process found done, or that was run once
    labels = site.database["labels"].count_documents({"campaign": "copper"})
    assert labels == site.database["structures"].count_documents({"campaign": "copper"})


def die_at(site: RemoteSite, place: str) -> None:
    """A runner works until it kills itself at a place."""
    with (site.folder / f"dying-{place}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "remote.dying_runner", place],
            env=site.environment,
            cwd=site.folder,
            stdout=log,
            stderr=log,
        )
    code = process.wait(1500)
    assert code == -signal.SIGKILL, (site.folder / f"dying-{place}.log").read_text()


def kill_a_worker(site: RemoteSite, path: Path) -> None:
    """A job's process dies in the middle of its work; the runner takes the job for failed."""
    site.start_runner()
    begun = {"stored_data.launch": {"$gt": 0}, "state": {"$in": ["SUBMITTED", "RUNNING"]}}
    wait_for(lambda: site.jobs(**begun), 1200, "a job that runs")
    (job, *_) = site.jobs(**begun)
    pids = [pid for pid, line in site.processes().items() if job["run_dir"] in line]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: site.jobs(state="FAILED"), 600, "a job that failed")
    assert "failed jobs: see" in site.program("entropy-flows", "status", path)
    said = site.program("entropy-flows", "repair", path, "--dry-run")
    assert "run again" in said
    site.end_runner()


def test_a_job_that_is_submitted_twice_runs_once(site, tmp_path):
    path = copper.campaign_file(tmp_path)
    submit(site, path)
    site.start_runner()
    wait_for(lambda: site.jobs(**{"stored_data.launch": 1}), 1200, "a job that runs")
    (job, *_) = site.jobs(**{"stored_data.launch": 1})
    subprocess.run(
        ["bash", "submit.sh"], env=site.environment, cwd=job["run_dir"], timeout=1500, check=True
    )
    assert "submitted twice" in (Path(job["run_dir"]) / "queue.out").read_text()
    wait_for(lambda: site.jobs(uuid=job["uuid"], state="COMPLETED"), 1200, "its end")
    assert site.jobs(uuid=job["uuid"])[0]["launches"] == 1


def test_a_paused_campaign_starts_nothing_and_goes_on_where_it_was(site, tmp_path):
    path = copper.campaign_file(tmp_path)
    submit(site, path)
    site.program("entropy-flows", "pause", path)
    assert {job["state"] for job in site.jobs()} == {"PAUSED", "WAITING"}
    site.start_runner()
    site.program("entropy-flows", "resume", path)
    wait_for(lambda: site.jobs(state="COMPLETED"), 1200, "a job that has ended")
    # what the runner has by now is given back by its process
    site.program("entropy-flows", "cancel", path, "--now")
    open_states = {"$in": ["READY", "CHECKED_OUT", "UPLOADED", "SUBMITTED", "RUNNING"]}
    wait_for(lambda: not site.jobs(state=open_states), 1200, "nothing to run")
    assert "is cancelled" in site.program("entropy-flows", "status", path)
    site.program("entropy-flows", "resume", path)
    site.end_runner()
    run_to_end(site, path)
    assert state(site) == "done"
    assert "all is well" in site.program("entropy-flows", "verify", path)


def test_labels_need_no_database(site, tmp_path):
    project = tmp_path / "projects" / "site.yaml"
    config = yaml.safe_load(project.read_text())
    nowhere = "mongodb://127.0.0.1:9/"
    config["workers"]["dft"]["pre_run"] = f"export ENTROPY_FLOWS_URI={nowhere}"
    project.write_text(yaml.safe_dump(config))
    path = two_iterations(tmp_path, "nowhere")
    submit(site, path)
    run_to_end(site, path)
    assert state(site, "nowhere") == "done"
    lines = (tmp_path / "labels.log").read_text().splitlines()
    assert set(lines) == {nowhere}
    assert len(lines) == site.database["labels"].count_documents({"campaign": "nowhere"})
    assert {job["worker"] for job in site.jobs() if job["job"]["name"].startswith("label")} == {
        "dft"
    }


def has_slurm() -> bool:
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    return all(which(name, path=path) for name in PROGRAMS)


@pytest.mark.skipif(not has_slurm(), reason="SLURM is not installed: make slurm")
def test_the_demo_with_a_local_worker_and_one_of_slurm(tmp_path):
    """The demo's campaign, small: SevenNet's labels, NequIP's training; one job is killed."""
    folder = Path("/tmp") / f"remote-{os.getpid()}"
    with slurm_cluster(folder) as cluster, remote_site(tmp_path) as site:
        site.environment["SLURM_CONF"] = str(folder / "slurm.conf")
        options = ("--work-dir", tmp_path / "jobs", "--seconds", 1, "--max-jobs", 2)
        site.program(
            "entropy-flows", "project", "site", *options, "--scheduler", "slurm",
            "--resources", "gpu.partition=gpu", "--resources", "dft.partition=dft",
            "--resources", "cpu.partition=cpu", "--resources", "time=01:00:00",
        )  # fmt: skip
        as_local(tmp_path / "projects" / "site.yaml", "cpu")
        path = silicon_file(tmp_path, queue={"label": {"walltime": "00:30:00"}})
        submit(site, path)
        kill_a_worker_of(site, cluster)
        run_to_end(site, path)
        assert state(site, "mini") == "done"
        assert site.database["iterations"].count_documents({"campaign": "mini"}) == 2
        assert "all is well" in site.program("entropy-flows", "verify", path)
        partitions = {job.partition for job in cluster.finished()}
        assert partitions == {"gpu", "dft"}


def as_local(project: Path, worker: str) -> None:
    config = yaml.safe_load(project.read_text())
    config["workers"][worker]["scheduler_type"] = "shell"
    del config["workers"][worker]["resources"]
    project.write_text(yaml.safe_dump(config))


def kill_a_worker_of(site: RemoteSite, cluster) -> None:
    """The process of a job in SLURM's queue dies in the middle."""
    site.start_runner()
    begun = {"stored_data.launch": {"$gt": 0}, "worker": "gpu"}
    wait_for(lambda: site.jobs(**begun), 1200, "a job that runs")
    (job, *_) = site.jobs(**begun)
    for pid, line in cluster.processes().items():
        if job["run_dir"] in line and "bash" not in line:
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: site.jobs(state="FAILED"), 1200, "a job that failed")
    site.end_runner()
