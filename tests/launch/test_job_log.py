"""What a running job says of itself, and what people then read of it."""

import time

import pytest
from fireworks import FWAction
from launchpads import ALIVE, DEAD, chained, number, take

from entropy_flows import progress
from entropy_flows.launch.activity import nobody_works, running_jobs
from entropy_flows.launch.job_log import JobLog
from entropy_flows.launch.launchpad import FireworkLaunch, RunningFirework
from entropy_flows.launch.liveness import LivenessCriteria

DEAD_ONE = LivenessCriteria(dead=frozenset({DEAD}))


@pytest.fixture
def taken(pad):
    """The first of two jobs, taken by a worker: its launch."""
    pad.add_wf(chained("explore", "select"))
    fw_id = number(pad, "explore")
    return FireworkLaunch(fw_id, take(pad, fw_id, ALIVE))


def test_progress_is_in_the_launch_while_it_runs_and_no_longer(pad, taken, capsys):
    log = JobLog(RunningFirework(pad, taken))
    with progress.heard_by(log):
        progress.begin(3, "explore/2")
        progress.report(10, 100, "steps", "6 runs")
        log.write()
        time.sleep(0.1)
        progress.report(20, 100, "steps", "5 runs")
        log.write()
    (seen,) = running_jobs(pad, "ours", DEAD_ONE)
    assert (seen.title, seen.iteration, seen.stage) == ("explore/2", 3, "explore")
    assert (seen.done, seen.total, seen.unit, seen.note) == (20, 100, "steps", "5 runs")
    assert 10 < seen.rate < 100.1
    assert seen.seconds_left == pytest.approx(80 / seen.rate)
    assert seen.lost is None
    assert seen.silence < 5
    log.end()
    pad.complete_launch(taken.number, FWAction())
    assert "progress" not in pad.launches.find_one({"launch_id": taken.number})
    assert running_jobs(pad, "ours", DEAD_ONE) == []
    lines = capsys.readouterr().out.splitlines()
    assert "explore/2: begins, iteration 3" in lines[0]
    assert "explore/2: done after" in lines[-1]
    assert "20 of 100 steps, 5 runs" in lines[-1]


def test_a_launch_that_was_taken_away_is_not_written_to(pad, taken):
    log = JobLog(RunningFirework(pad, taken))
    log.begin(1, "explore/0")
    pad.rerun_fw(taken.fw_id)
    pad.mark_fizzled(taken.number)
    log.update(progress.JobProgress(1, 2, "steps"))
    log.write()
    assert "progress" not in pad.launches.find_one({"launch_id": taken.number})


def test_reports_that_nobody_hears_cost_nothing():
    started = time.process_time()
    for step in range(100_000):
        progress.report(step, 100_000, "steps")
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize("worker", [ALIVE, DEAD])
def test_nobody_works_where_the_worker_is_dead(pad, worker):
    pad.add_wf(chained("explore", "select"))
    take(pad, number(pad, "explore"), worker)
    running = running_jobs(pad, "ours", DEAD_ONE)
    counts = {"RUNNING": 1, "WAITING": 1}
    told = nobody_works(counts, running, has_run=False, go_on="entropy-flows run x.yaml")
    if worker == ALIVE:
        assert told is None
    else:
        assert told.startswith("nobody is working on this: explore stopped")
        assert told.endswith("Go on with: entropy-flows run x.yaml")
    assert nobody_works(counts, running, has_run=True, go_on="") is None


def test_ready_jobs_without_a_worker():
    assert "1 job waits for a worker" in nobody_works({"READY": 1}, [], False, "run")
    assert nobody_works({"WAITING": 3}, [], False, "run") is None
    assert nobody_works({"COMPLETED": 3}, [], False, "run") is None
