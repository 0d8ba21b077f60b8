"""The job that compiles a model, and the jobs that use what it has made."""

import dataclasses
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from ase.build import bulk
from forks import forked
from quick_compiler import write_model

from entropy_flows.batch import Batch
from entropy_flows.compiled import cache, make, speed
from entropy_flows.compiled.cache import compiled_form
from entropy_flows.explore import ExploreParams
from entropy_flows.geometry import to_structure
from entropy_flows.jobs import CompileMaker, IterationContext
from entropy_flows.jobs import compile as compile_job
from entropy_flows.jobs.exploring import load_exploring_model
from entropy_flows.potentials import load_batch_model
from entropy_flows.report.iterations import compile_lines
from entropy_flows.schemas import Campaign, TrainDoc
from entropy_flows.store import CampaignStore

SEEDS = {"diamond": to_structure(bulk("Si", cubic=True))}
CONFIG = {
    "name": "quick",
    "elements": ["Si"],
    "base_model": "SevenNet-0",
    "phases": [{"name": "diamond", "file": "diamond.cif"}],
    "label": {"engine": "forcefield"},
}
MANY, FEW = [(2, 10**9)], [(2, 10)]


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Make this folder's helpers importable in the compiler's process, too."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Take the fewest calls that give a speed, and see at once that a program has ended."""
    monkeypatch.setattr(speed, "MAX_SECONDS", 0.0)
    monkeypatch.setattr(make, "POLL_SECONDS", 0.1)


@pytest.fixture
def store(database):
    opened = CampaignStore(database, "quick")
    opened.create(Campaign.model_validate(CONFIG))
    opened.set_state("running")
    return opened


@pytest.fixture
def trained(store, tmp_path):
    """Store models of one architecture as those that iterations have trained."""

    def save(iteration=1, weight=1.0, **changes):
        path = tmp_path / f"model-{iteration}.quick.json"
        return store.save_model(iteration, write_model(path, weight, **changes))

    return save


def compiled(store, model, calls=MANY, iteration=1, always=False):
    """Run the job; return its document."""
    training = TrainDoc(
        iteration=iteration,
        model=model,
        parent="",
        trained_on=1,
        left_out=0,
        epochs=1,
        wall_seconds=1.0,
    )
    maker = CompileMaker(calls=calls, always=always)
    context = IterationContext("quick", iteration)
    return CompileMaker.make.original(maker, context, training=training, seeds=SEEDS)


def exploring(store, model, job="explore_0", compile="auto", iteration=2):
    context = IterationContext("quick", iteration, model)
    params = ExploreParams(compile=compile)
    return load_exploring_model(store, context, params, job, SEEDS)


@pytest.fixture
def at_once(monkeypatch):
    """Compile in a fork, without the seconds in which another Python imports its packages."""
    monkeypatch.setattr(make, "child", forked)


def form_of(store, model):
    source = store.fetch_model(model)
    return compiled_form(source, load_batch_model(source))


def test_it_compiles_where_that_pays_and_the_next_iteration_uses_it(store, trained):
    model = trained(weight=2.0, sleeps=0.01)
    result = compiled(store, model)
    assert (result.is_there, result.is_new) == (True, True)
    assert result.saved > 90
    assert result.compiled < 0.01 < result.eager
    assert store.iterations()[0]["compile"] == result.model_dump()
    fast, form = exploring(store, model)
    assert form == "compiled"
    batch = Batch.of([bulk("Si", cubic=True)])
    expected = load_batch_model(store.fetch_model(model))(batch)
    assert torch.equal(fast(batch).energy, expected.energy)
    assert fast.content["sleeps"] == 0


def test_status_says_what_was_decided_and_used(store, trained, at_once):
    compiled(store, trained(sleeps=0.01), FEW)
    model = trained(2, sleeps=0.01)
    compiled(store, model, iteration=2)
    for job in ("explore_0", "explore_1"):
        exploring(store, model, job, iteration=3)
    kept, made, used = compile_lines(store.iterations())
    assert kept.startswith("iteration 1, its model is not compiled: 10 calls of the model take")
    assert made.startswith(
        "iteration 2, its model is compiled: 1,000,000,000 calls of the model take"
    )
    assert "a call with 2 cells takes" in made
    assert used == "iteration 3, 2 of 2 jobs of dynamics used a compiled model"


def test_it_does_not_where_it_does_not_pay(store, trained, at_once):
    model = trained(sleeps=0.01)
    result = compiled(store, model, FEW)
    assert not result.is_there
    assert 0 < result.saved < 1
    assert "10 calls of the model take" in result.reason
    assert not form_of(store, model).path.exists()
    assert exploring(store, model)[1] == "eager"
    assert compiled(store, model, FEW, always=True).is_new


def test_the_next_model_of_the_architecture_takes_the_form_with_its_own_weights(
    store, trained, at_once
):
    compiled(store, trained(weight=2.0))
    path = form_of(store, trained()).path
    written = path.stat().st_mtime_ns
    model = trained(2, weight=3.0)
    result = compiled(store, model, FEW, iteration=2)
    assert (result.is_there, result.is_new) == (True, False)
    assert result.reason == "its architecture was compiled before"
    assert path.stat().st_mtime_ns == written
    fast, form = exploring(store, model, iteration=3)
    assert (form, fast.content["weight"]) == ("compiled", 3.0)


def test_a_model_with_other_fixed_numbers_is_compiled_again(store, trained, at_once):
    first = trained()
    compiled(store, first)
    second = trained(2, fixed=1)
    assert exploring(store, second, iteration=3)[1] == "eager"
    # as measured with the first, the compiled form may be no faster
    assert compiled(store, second, iteration=2, always=True).is_new
    assert exploring(store, second, "explore_1", iteration=3)[1] == "compiled"
    assert exploring(store, first, iteration=2)[1] == "eager"


def test_another_kind_of_machine_uses_the_model_as_it_is(
    store, trained, at_once, monkeypatch, caplog
):
    model = trained()
    compiled(store, model)
    here = cache.machine_kind("cpu")
    other = dataclasses.replace(here, processor="another one")
    assert other.hash != here.hash
    monkeypatch.setattr(cache, "machine_kind", lambda device: other)
    with caplog.at_level(logging.WARNING):
        assert exploring(store, model)[1] == "eager"
    assert "no compiled form for another one" in caplog.text


def test_a_job_goes_on_with_the_form_that_it_began_with(
    store, trained, at_once, monkeypatch, caplog
):
    model = trained()
    assert exploring(store, model, "explore_0")[1] == "eager"
    compiled(store, model)
    assert exploring(store, model, "explore_0")[1] == "eager"
    assert exploring(store, model, "explore_1")[1] == "compiled"
    form_of(store, model).path.unlink()
    with caplog.at_level(logging.WARNING):
        assert exploring(store, model, "explore_1")[1] == "eager"
    assert "explore_1 began with a compiled model" in caplog.text


@pytest.mark.parametrize("options", [{"compile": "never"}, {"iteration": 1}])
def test_where_no_compiled_model_is_wanted_none_is_used(store, trained, at_once, options):
    model = trained()
    compiled(store, model)
    assert exploring(store, model, **options)[1] == "eager"


def test_a_form_that_was_changed_does_not_count(store, trained, at_once):
    model = trained()
    compiled(store, model)
    form_of(store, model).path.write_text("something else")
    assert exploring(store, model)[1] == "eager"


@pytest.mark.parametrize(
    ("compiles", "reason"),
    [
        ("wrong", "the compiled model differs from the model by"),
        ("never", "compiling ended with code 1: ValueError: this model cannot be compiled"),
        ("dies", "compiling ended with code -6"),
    ],
)
def test_what_cannot_be_compiled_is_explored_as_it_is_and_not_tried_again(
    store, trained, at_once, compiles, reason
):
    model = trained(compiles=compiles)
    result = compiled(store, model)
    assert not result.is_there
    assert reason in result.reason
    assert exploring(store, model)[1] == "eager"
    again = compiled(store, model)
    assert again.reason == f"it was tried before: {result.reason}"
    assert not list(form_of(store, model).folder.glob(".part-*"))


def test_a_model_whose_family_has_no_compiled_form(store):
    result = compiled(store, store.save_model(1, "ase.calculators.emt.EMT"))
    assert result.reason == "models of its family have no compiled form"
    assert result.machine is None


def test_compiling_ends_with_the_campaign(store, trained, at_once, monkeypatch):
    asked = []

    def ended(stop):
        asked.append(1)
        return "the campaign is done" if len(asked) > 2 else None

    monkeypatch.setattr(compile_job._Stop, "__call__", ended)
    model = trained(compiles="slowly")
    result = compiled(store, model)
    assert result.reason == "the campaign is done"
    # nobody says that it cannot be compiled
    assert form_of(store, model).facts() is None


KILLED = """
import sys
from ase.build import bulk
from entropy_flows.compiled.cache import compiled_form
from entropy_flows.compiled.make import make_form
from entropy_flows.potentials import load_batch_model
model = sys.argv[1]
form = compiled_form(model, load_batch_model(model))
make_form(form, model, [bulk("Si")], 1, "cpu", lambda: None)
"""


def test_a_kill_leaves_nothing_that_counts_and_the_next_one_begins_anew(
    store, trained, monkeypatch
):
    model = trained(compiles="slowly")
    form = form_of(store, model)
    process = subprocess.Popen([sys.executable, "-c", KILLED, store.fetch_model(model)])
    deadline = time.monotonic() + 120
    while not list(form.folder.glob(".part-*model*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    compilers = children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not form.path.exists()
    assert form.facts() is None
    assert exploring(store, model)[1] == "eager"
    deadline = time.monotonic() + 20
    while any(os.path.exists(f"/proc/{number}") for number in compilers):
        assert time.monotonic() < deadline, "the compiler outlives its parent"
        time.sleep(0.05)
    assert list(form.folder.glob(".part-*"))
    monkeypatch.setattr(make, "child", forked)
    assert compiled(store, trained(2)).is_new
    assert not list(form.folder.glob(".part-*"))


def children(pid):
    """Return the processes that a process has started."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(number) for number in file.read().split()]
