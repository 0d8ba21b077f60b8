"""A campaign under faults, through SLURM, beside the same campaign left in peace: `make chaos`.

Every fault is drawn from the seed. Only `entropy-flows repair` and `qlaunch` are used to go on. In
the end the ledger must be the undisturbed campaign's, every entry have one label, and
`entropy-flows verify` find nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / part) for part in (".", "chaos", "slurm", "cli")]

import deaths  # noqa: E402
import yaml  # noqa: E402
from cluster import slurm_cluster, wait_for  # noqa: E402
from test_loop import campaign_file  # noqa: E402

import entropy_flows.store.embedded as embedded  # noqa: E402

BIN = Path(sys.executable).parent
CATEGORIES = ("cpu", "gpu", "dft")
OUTSIDE = {
    "worker killed": "SIGKILL of a worker, anywhere",
    "worker stopped": "SIGSTOP of a worker, anywhere, and SIGCONT when its job was given away",
    "scancel running": "scancel of a queue job that runs: SIGTERM",
    "scancel pending": "scancel of a queue job that waits",
    "qlaunch killed": "SIGKILL of a qlaunch",
    "database killed": "SIGKILL of the database server, back after 2 s",
    "database away": "SIGKILL of the database server, back after {away:.0f} s",
    "disk full": "the disk of launch folders, cache and checkpoints full for 15 s",
    "slurmctld killed": "SIGKILL of SLURM's controller, back after 5 s",
    "slurmd killed": "SIGKILL of SLURM's node daemon, back after 5 s",
}
STOPPED_SECONDS = 60.0
"""Longer than a job's expiry and what another worker then takes for most jobs."""
STANDING = ("children", "addition", "arrays")
"""Deaths at places that few jobs come to: ordered from the beginning."""
DUMP = """
from entropy_flows.store import connect
db = connect()
for s in db.structures.find().sort('position', 1):
    labels = list(db.labels.find({'structure_id': s['_id']}))
    label = labels[0] if labels else {}
    xyz = [site['xyz'] for site in s['structure']['sites']]
    told = (len(labels), label.get('energy'), label.get('split'), xyz)
    print(s['position'], s['key'], s['gain'], *told)
for d in db.iterations.find().sort('iteration', 1):
    print(d['iteration'], d['label']['labelled'], d['label']['failed'], d['evaluate']['after'])
"""


class Bench:
    """A campaign's folder with its database, its disk, and the environment of everything that works
    on it.
    """

    def __init__(self, folder: Path, environment: dict[str, str]):
        self.folder, self.disk, self.orders = folder, folder / "disk", folder / "orders"
        for part in (self.disk, self.orders, folder / "db", folder / "logs"):
            part.mkdir(parents=True)
        self.file = campaign_file(
            folder,
            explore={
                "temperatures": [600],
                "entropy_weights": [3],
                "pressures": [0, 10],
                "steps": 20,
                "warm_up": 5,
                "ramp": 5,
                "batch_size": 1,
            },
            label={"engine": "forcefield", "model": "SevenNet", "batch_size": 2},
            stop={"max_iterations": 3, "label_budget": 24},
        )
        self.port = embedded._free_port()
        self.server: subprocess.Popen | None = None
        self.environment = {
            **environment,
            "ENTROPY_FLOWS_URI": f"mongodb://127.0.0.1:{self.port}/",
            "ENTROPY_FLOWS_CACHE": str(self.disk / "cache"),
            "ENTROPY_FLOWS_HEARTBEAT": "2",
            "ENTROPY_FLOWS_PATIENCE": "300",
            "ENTROPY_FLOWS_CHECKPOINT": "1",
            "FW_CONFIG_FILE": str(folder / "launchers" / "FW_config.yaml"),
            "CHAOS": str(self.orders),
            "OMP_NUM_THREADS": "1",
        }

    def start_database(self) -> None:
        """Start the server, at the same address each time."""
        script = str(Path(embedded.__file__).with_name("server.py"))
        with (self.folder / "logs" / "database.log").open("ab") as log:
            self.server = subprocess.Popen(
                [sys.executable, "-P", script, str(self.port), str(self.folder / "db")],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

        def up() -> bool:
            import socket

            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        wait_for(up, 60, "the database")

    def stop_database(self, number: int = signal.SIGKILL) -> None:
        """End the server."""
        assert self.server is not None
        self.server.send_signal(number)
        self.server.wait()

    def run(
        self, *arguments: object, check: bool = True, timeout: float = 900
    ) -> subprocess.CompletedProcess:
        """Run an `entropy-flows` command on the campaign."""
        command = [str(BIN / "entropy-flows"), *map(str, arguments)]
        done = subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            cwd=self.folder,
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done

    def dump(self) -> list[str]:
        """The ledger with its labels, and the iterations' results, line by line."""
        done = self.run("database", self.file, "--", sys.executable, "-c", DUMP)
        return done.stdout.splitlines()

    def pad(self):
        """The launchpad of this bench."""
        from fireworks import LaunchPad

        uri = f"{self.environment['ENTROPY_FLOWS_URI']}?serverSelectionTimeoutMS=2000"
        return LaunchPad(host=uri, name="entropy_flows", uri_mode=True, strm_lvl="CRITICAL")


def undisturbed(folder: Path, environment: dict[str, str]) -> list[str]:
    """The same campaign in peace, with two local workers."""
    bench = Bench(folder, environment)
    bench.start_database()
    try:
        bench.run("run", bench.file, "--workers", 2)
        return bench.dump()
    finally:
        bench.stop_database(signal.SIGTERM)


class Chaos:
    """The driver: keeps qlaunch going, injects one fault after another, repairs.

    Parameters
    ----------
    bench, cluster
        What to work on.
    faults
        Names of the faults, in order.
    rng
        Draws times and victims.
    away
        Seconds of "database away".
    """

    def __init__(self, bench: Bench, cluster, faults: list[str], rng: random.Random, away: float):
        self.bench, self.cluster, self.faults, self.rng, self.away = (
            bench,
            cluster,
            faults,
            rng,
            away,
        )
        self.launchers: dict[str, subprocess.Popen] = {}
        self.repairs, self.next_repair = 0, 0.0
        self.repairing: subprocess.Popen | None = None

    def go(self, limit: float) -> None:
        """Until the campaign has ended and nothing is left to do."""
        deadline, next_fault = time.monotonic() + limit, time.monotonic() + 15
        for place in [fault for fault in self.faults if fault in STANDING]:
            self.faults.remove(place)
            self.order(place)
        while not self.over():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the campaign did not end in {limit:.0f} s: {self.counts()}")
            self.keep_going()
            if self.faults and time.monotonic() > next_fault and not self.awaited():
                fault, counts = self.faults.pop(0), self.counts()
                if self.inject(fault):
                    print(f"{time.strftime('%H:%M:%S')} {fault} | {counts}", flush=True)
                    next_fault = time.monotonic() + self.rng.uniform(3, 8)
                else:
                    self.faults.append(fault)  # nothing there to hit: later
            time.sleep(0.5)

    def order(self, place: str) -> None:
        """Have the next worker that comes to a place die there."""
        deaths_order(self.bench, place).touch()

    def awaited(self) -> bool:
        """Whether a death was ordered that any job may meet, and none has."""
        return any(
            deaths_order(self.bench, place).exists()
            for place in deaths.PLACES
            if place not in STANDING
        )

    def over(self) -> bool:
        """Whether the campaign has ended and no job is left."""
        with suppress(Exception):
            pad = self.bench.pad()
            campaign = pad.db["campaigns"].find_one({})
            left = pad.fireworks.count_documents({"state": {"$ne": "COMPLETED"}})
            pad.connection.close()
            return campaign["state"] in ("done", "failed") and left == 0
        return False

    def counts(self) -> str:
        """Jobs by state."""
        with suppress(Exception):
            pad, found = self.bench.pad(), defaultdict(int)
            for firework in pad.fireworks.find({}, {"state": 1}):
                found[firework["state"]] += 1
            pad.connection.close()
            return ", ".join(f"{n} {state.lower()}" for state, n in sorted(found.items()))
        return "no database"

    def keep_going(self) -> None:
        """What a user has in cron, qlaunch for each queue and repair, and an operator."""
        for category in CATEGORIES:
            running = self.launchers.get(category)
            if running is None or running.poll() is not None:
                self.launchers[category] = self.qlaunch(category)
        if self.repairing is not None and self.repairing.poll() is not None:
            self.repairs += 1
            self.repairing = None
        if self.repairing is None and time.monotonic() > self.next_repair:
            self.next_repair = time.monotonic() + 20
            with suppress(subprocess.CalledProcessError):  # no controller for the moment
                if self.cluster.resume_drained():
                    now = time.strftime("%H:%M:%S")
                    print(f"{now} node resumed | {self.counts()}", flush=True)
            with (self.bench.folder / "logs" / "repair.log").open("ab") as log:
                self.repairing = subprocess.Popen(
                    [
                        str(BIN / "entropy-flows"),
                        "repair",
                        str(self.bench.file),
                        "--expiry",
                        "20",
                        "--patience",
                        "8",
                    ],
                    env={**self.bench.environment, "COLUMNS": "200"},
                    stdout=log,
                    stderr=log,
                )

    def qlaunch(self, category: str) -> subprocess.Popen:
        """Start a qlaunch that submits for ever."""
        files = self.bench.folder / "launchers"
        command = [
            str(BIN / "qlaunch"),
            "-r",
            "-l",
            str(files / "my_launchpad.yaml"),
            "-w",
            str(files / f"my_fworker_{category}.yaml"),
            "-q",
            str(files / f"my_qadapter_{category}.yaml"),
            "rapidfire",
            "-m",
            "3",
            "--nlaunches",
            "infinite",
        ]
        with (self.bench.folder / "logs" / f"qlaunch_{category}.log").open("ab") as log:
            return subprocess.Popen(
                command,
                env=self.bench.environment,
                stdout=log,
                stderr=log,
                cwd=self.bench.disk,
                start_new_session=True,
            )

    def inject(self, fault: str) -> bool:
        """Order a death, or do something from outside; False if there is nothing to do it to."""
        if fault in deaths.PLACES:
            self.order(fault)
            return True
        return getattr(self, fault.replace(" ", "_"))()

    def worker_killed(self) -> bool:
        return self.signalled("worker killed", signal.SIGKILL) is not None

    def worker_stopped(self) -> bool:
        pid = self.signalled("worker stopped", signal.SIGSTOP)
        if pid is None:
            return False
        waker = threading.Timer(STOPPED_SECONDS, self.wake, [pid])
        waker.daemon = True
        waker.start()
        return True

    def wake(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        self.note("worker stopped, back")

    def signalled(self, fault: str, number: int) -> int | None:
        """Send a signal to a worker; its process, or None if there is no worker."""
        victims = [
            pid
            for pid, line in self.cluster.processes().items()
            if "rlaunch" in line and "python" in line
        ]
        if not victims:
            return None
        pid = self.rng.choice(sorted(victims))
        self.note(fault, self.job_of(pid))
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        return pid

    def scancel(self, state: str) -> bool:
        victims = sorted(job for job, now in self.cluster.queued().items() if now == state.upper())
        if not victims:
            return False
        victim = self.rng.choice(victims)
        self.note(f"scancel {state}", self.job_reserved_as(victim))
        self.cluster.cancel(victim)
        return True

    def scancel_running(self) -> bool:
        return self.scancel("running")

    def scancel_pending(self) -> bool:
        return self.scancel("pending")

    def qlaunch_killed(self) -> bool:
        category = self.rng.choice(CATEGORIES)
        self.note("qlaunch killed")
        self.launchers[category].kill()
        return True

    def database_gone(self, fault: str, seconds: float) -> bool:
        self.note(fault)
        self.bench.stop_database()
        time.sleep(seconds)
        self.bench.start_database()
        self.note(f"{fault}, back")
        return True

    def database_killed(self) -> bool:
        return self.database_gone("database killed", 2)

    def database_away(self) -> bool:
        return self.database_gone("database away", self.away)

    def disk_full(self) -> bool:
        self.note("disk full")
        filler = self.bench.disk / "filler"
        with suppress(OSError), filler.open("wb") as stream:
            while True:
                stream.write(bytes(1 << 20))
                stream.flush()
        time.sleep(15)
        filler.unlink()
        self.note("disk full, back")
        return True

    def daemon_killed(self, name: str) -> bool:
        self.note(f"{name} killed")
        self.cluster.kill(name)
        time.sleep(5)
        self.cluster.start(name)
        self.note(f"{name} killed, back")
        return True

    def slurmctld_killed(self) -> bool:
        return self.daemon_killed("slurmctld")

    def slurmd_killed(self) -> bool:
        return self.daemon_killed("slurmd")

    def note(self, fault: str, job: int | None = None) -> None:
        """Write down what was done."""
        with (self.bench.orders / "done.jsonl").open("a") as stream:
            stream.write(json.dumps({"fault": fault, "job": job, "time": time.time()}) + "\n")

    def job_of(self, pid: int) -> int | None:
        """The FireWorks job of a worker: its command line says it."""
        with suppress(OSError, ValueError, IndexError):
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            return int(words[words.index("--fw_id") + 1])
        return None

    def job_reserved_as(self, queue_job: str) -> int | None:
        with suppress(Exception):
            pad = self.bench.pad()
            return pad.launches.find_one({"state_history.reservation_id": queue_job})["fw_id"]
        return None

    def stop(self) -> None:
        """End what this started."""
        for process in (*self.launchers.values(), *([self.repairing] if self.repairing else [])):
            with suppress(ProcessLookupError):
                process.kill()
                process.wait()


def deaths_order(bench: Bench, place: str) -> Path:
    """The order to die at a place."""
    return bench.orders / place


def recoveries(bench: Bench) -> list[tuple[str, float | None]]:
    """Each fault, and the seconds from it, or from its end, to the end of the job it hit.

    Of the next job to end, where it hit none in particular or one whose work was done.
    """
    pad = bench.pad()
    ends = defaultdict(list)
    for launch in pad.launches.find(
        {"state": "COMPLETED"}, {"fw_id": 1, "time_end": 1, "state_history": 1}
    ):
        done = [
            entry["created_on"]
            for entry in launch["state_history"]
            if entry["state"] == "COMPLETED"
        ]
        ends[launch["fw_id"]] += [_timestamp(when) for when in done]
    events = [json.loads(line) for line in (bench.orders / "done.jsonl").read_text().splitlines()]
    every = sorted(end for several in ends.values() for end in several)
    found = []
    for event in events:
        if event["fault"].endswith(", back"):
            continue
        ended = f"{event['fault']}, back"
        back = next(
            (e["time"] for e in events if e["fault"] == ended and e["time"] > event["time"]),
            event["time"],
        )
        own = [end for end in ends.get(event["job"], []) if end > back]
        later = own or [end for end in every if end > back]
        found.append((event["fault"], min(later) - back if later else None))
    return found


def _timestamp(when) -> float:
    from datetime import UTC, datetime

    time_ = datetime.fromisoformat(when) if isinstance(when, str) else when
    return (time_ if time_.tzinfo else time_.replace(tzinfo=UTC)).timestamp()


@contextmanager
def small_disk(folder: Path, megabytes: int):
    """A disk of its own for a folder, so that it can be full."""
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=True
    )
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def main() -> None:
    """Run it, print the table, exit with 1 if anything was lost."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="Example: python tests/chaos/chaos.py --seed 2"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "chaos")
    parser.add_argument(
        "--away", type=float, default=120.0, help="seconds of the long absence of the database"
    )
    parser.add_argument(
        "--limit", type=float, default=3600.0, help="seconds after which it is given up"
    )
    parser.add_argument("--only", nargs="*", help="these faults, in this order")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    shutil.rmtree(options.folder, ignore_errors=True)
    hidden = {
        name: value for name, value in os.environ.items() if not name.startswith("ENTROPY_FLOWS_")
    }
    environment = {
        **hidden,
        "ENTROPY_FLOWS_CONFIG_FILE": "/nonexistent",
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    started = time.monotonic()
    expected = undisturbed(options.folder / "peace", environment)
    peace = time.monotonic() - started
    print(f"undisturbed: {len(expected)} lines, {peace:.0f} s", flush=True)
    faults = options.only if options.only is not None else plan(rng)
    with ExitStack() as stack:
        cluster = stack.enter_context(slurm_cluster(options.folder / "slurm", cpus=2, kill_wait=10))
        bench = Bench(
            options.folder / "war", {**environment, "SLURM_CONF": cluster.environment["SLURM_CONF"]}
        )
        stack.enter_context(small_disk(bench.disk, 1500))
        setup = f"export PATH={Path(__file__).parent / 'bin'}:{BIN}:$PATH"
        bench.run(
            "launchers",
            bench.folder / "launchers",
            "--setup",
            setup,
            "--device",
            "cpu",
            "--sleep",
            3,
        )
        quick(bench.folder / "launchers" / "FW_config.yaml")
        bench.start_database()
        bench.run("submit", bench.file)
        chaos = Chaos(bench, cluster, list(faults), rng, options.away)
        started = time.monotonic()
        try:
            chaos.go(options.limit)
        finally:
            chaos.stop()
        took = time.monotonic() - started
        wrong = report(bench, chaos, expected, took)
        bench.stop_database(signal.SIGTERM)
    sys.exit(1 if wrong else 0)


def quick(file: Path) -> None:
    """Have a worker that meets an orphan or a dead lock wait for it no longer than the jobs here
    take.
    """
    settings = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**settings, "WFLOCK_EXPIRATION_SECS": 15}))


def plan(rng: random.Random) -> list[str]:
    """Order each death twice and each fault from outside at least once; the rare ones early."""
    often = [name for name in deaths.PLACES if name not in STANDING]
    once = ["database away", "slurmctld killed", "slurmd killed", "disk full", "disk full"]
    workers = ["worker killed", "worker stopped", "scancel running", "scancel pending"]
    several = [*workers, "qlaunch killed", "database killed"] * 2
    rest = [*often, *often, *once, *several]
    rng.shuffle(rest)
    return [*STANDING, *rest]


def report(bench: Bench, chaos: Chaos, expected: list[str], took: float) -> list[str]:
    """Print what happened; what is wrong."""
    wrong = []
    found = bench.dump()
    if found != expected:
        differing = [pair for pair in zip(expected, found, strict=False) if pair[0] != pair[1]]
        wrong.append(
            f"the ledger differs: {len(found)} lines, not {len(expected)}; first: {differing[:1]}"
        )
    verified = bench.run("verify", bench.file, check=False)
    if verified.returncode:
        wrong.append(f"verify: {verified.stdout}{verified.stderr}")
    rows = recoveries(bench)
    if lost := [
        fault for fault, seconds in rows if seconds is None and fault not in ("qlaunch killed",)
    ]:
        print(f"no job ended after: {', '.join(lost)}")
    seconds = [s for _, s in rows if s is not None]
    by_kind = defaultdict(list)
    for fault, value in rows:
        by_kind[fault].append(value)
    print(
        "\n| fault | what | injected | survived | recovered after, s |\n| --- | --- "
        "| --- | --- | --- |"
    )
    words = {
        **deaths.PLACES,
        **{name: text.format(away=chaos.away) for name, text in OUTSIDE.items()},
    }
    for fault, values in sorted(by_kind.items()):
        times = ", ".join("–" if v is None else f"{v:.0f}" for v in values)
        survived = 0 if wrong else len(values)
        print(f"| {fault} | {words[fault]} | {len(values)} | {survived} | {times} |")
    print(
        f"\n{len(rows)} faults in {took:.0f} s, {chaos.repairs} repairs; not "
        f"injected: {chaos.faults or 'none'}"
    )
    print(
        f"recovered after: median {statistics.median(seconds):.0f} s, at most {max(seconds):.0f} s"
    )
    print(
        "\n".join(wrong)
        or "the ledger is the undisturbed one; every entry has one label; verify is clean"
    )
    return wrong


if __name__ == "__main__":
    main()
