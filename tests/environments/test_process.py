"""The process of a model: it is lost without a loss, refuses cells alone, and ends with the job."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from entropy_flows.batch import Batch
from entropy_flows.environments import RefusalError, process, processes_end_here
from entropy_flows.environments.foreign import wire
from entropy_flows.faults import MachineError, is_machine_fault, is_out_of_memory
from entropy_flows.potentials import load_batch_model, load_calculator, with_arguments

EMT = "ase.calculators.emt.EMT"


def cells(*elements):
    structures = [bulk(element) * (2, 1, 1) for element in elements]
    for index, atoms in enumerate(structures):
        atoms.rattle(0.1, seed=index)
    return Batch.of(structures)


def in_environment(name, environment, **arguments):
    return with_arguments(name, {**arguments, "environment": str(environment)})


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_for_the_end(pid):
    deadline = time.monotonic() + 20
    while is_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} still lives"
        time.sleep(0.05)


@pytest.fixture
def model(environment):
    return load_batch_model(in_environment(EMT, environment))


def test_a_calculator_gives_the_same_bits_in_an_environment(environment, model):
    batch = cells("Cu", "Al", "Ni")
    here = load_batch_model(EMT)(batch)
    there = model(batch)
    assert there.energy.tolist() == here.energy.tolist()
    assert there.forces.tolist() == here.forces.tolist()
    atoms = batch.structures()[0]
    atoms.calc = load_calculator(in_environment(EMT, environment))
    other = atoms.copy()
    other.calc = load_calculator(EMT)
    # EMT computes a stress only where one is asked for
    assert atoms.get_stress().tolist() == other.get_stress().tolist()


def test_the_environment_has_not_this_package(environment):
    code = "import importlib.util as i; print(i.find_spec('ase') is not None, " + (
        "i.find_spec('entropy_flows') is not None)"
    )
    command = [environment / "bin" / "python", "-I", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "True"
    # an editable installation of this package is seen through no second `.pth`
    assert done.stdout.split()[1] == "False"


def test_models_of_one_environment_share_a_process_that_ends_with_the_last(environment, model):
    calculator = load_calculator(in_environment(EMT, environment, asap_cutoff=True))
    assert calculator.model.process is model.process
    pid = model.process.pid
    assert is_alive(pid)
    del model, calculator
    gc.collect()


def test_a_killed_process_is_replaced_without_a_loss(model):
    batch = cells("Cu", "Al")
    before = model(batch)
    first = model.process.pid
    os.kill(first, signal.SIGKILL)
    after = model(batch)
    assert after.forces.tolist() == before.forces.tolist()
    assert model.process.pid != first


def test_a_kill_in_the_middle_of_a_request_is_made_good(environment):
    model = load_batch_model(in_environment(EMT, environment))
    batch = cells(*["Cu"] * 500)
    threading.Timer(0.2, os.kill, (model.process.pid, signal.SIGKILL)).start()
    first = model.process.pid
    there = model(batch)
    assert model.process.pid != first, "it was killed before it had answered"
    assert there.energy.tolist() == load_batch_model(EMT)(batch).energy.tolist()


def test_a_process_that_is_always_lost_is_the_machines_fault(model, monkeypatch):
    starts = []
    start = process.ModelProcess._load

    def killed(self, number):
        facts = start(self, number)
        starts.append(self.pid)
        os.kill(self.pid, signal.SIGKILL)
        return facts

    monkeypatch.setattr(process.ModelProcess, "_load", killed)
    os.kill(model.process.pid, signal.SIGKILL)
    with pytest.raises(MachineError, match="killed by signal 9, 3 times") as fault:
        model(cells("Cu"))
    assert len(starts) == process.MAX_STARTS - 1
    # a batch that is too large for the memory is halved by whoever asks this
    assert is_out_of_memory(fault.value)


def test_a_refusal_is_the_cells_and_the_process_goes_on(model):
    pid = model.process.pid
    with pytest.raises(
        RefusalError, match="NotImplementedError: No EMT-potential for U"
    ) as refused:
        model(cells("U"))
    assert not is_machine_fault(refused.value)
    assert model(cells("Cu")).energy.shape == (1,)
    assert model.process.pid == pid


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        ("no_such_package.Calculator", MachineError, "a package is missing (No module named"),
        ("ase.calculators.emt.NoSuch", RefusalError, "has no attribute 'NoSuch'"),
        ("ase.atoms.Atoms", RefusalError, "gives a Atoms, expected an ASE calculator"),
        ("my.nequip.zip", ValueError, "models of the family nequip are loaded here only"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_one_line(environment, model, error, message):
    with pytest.raises(error) as refused:
        load_batch_model(in_environment(model, environment))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_interrupted_request_does_not_answer_the_next(model, monkeypatch):
    batch = cells("Cu")
    expected = model(batch).energy.tolist()
    receive = wire.receive

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(wire, "receive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model(cells("Al"))
    monkeypatch.setattr(wire, "receive", receive)
    assert model(batch).energy.tolist() == expected


def test_an_answer_to_another_request_is_refused(model, monkeypatch):
    receive = wire.receive

    def stale(stream, *kinds):
        answer = receive(stream, *kinds)
        return wire.Message(answer.kind, {**answer.fields, "number": 1}, answer.arrays)

    monkeypatch.setattr(wire, "receive", stale)
    with pytest.raises(MachineError, match=r"expected the answer to request \d+, got that to 1"):
        model(cells("Cu"))


def test_results_of_other_cells_are_refused(model, monkeypatch):
    receive = wire.receive

    def other(stream, *kinds):
        answer = receive(stream, *kinds)
        return wire.Message(answer.kind, answer.fields, {**answer.arrays, "energy": np.zeros(7)})

    monkeypatch.setattr(wire, "receive", other)
    with pytest.raises(MachineError, match=r"gave energy of shape \(7,\), expected \(1,\)"):
        model(cells("Cu"))


def test_a_job_ends_the_processes_that_it_has_started(environment):
    with processes_end_here() as processes:
        model = load_batch_model(in_environment(EMT, environment))
        pid = model.process.pid
    assert processes == [model.process]
    assert processes[0].packages["ase"]
    wait_for_the_end(pid)
    assert model(cells("Cu")).energy.shape == (1,)  # whoever still has the model may use it


JOB = """
import sys, time
from entropy_flows.batch import Batch
from entropy_flows.potentials import load_batch_model
from test_process import cells
model = load_batch_model(sys.argv[1])
print(model.process.pid, flush=True)
model(cells(*["Cu"] * 5000))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_is_left_when_the_job_is_killed_in_a_step(environment, number):
    command = [sys.executable, "-c", JOB, in_environment(EMT, environment)]
    path = [*sys.path, str(Path(__file__).parent)]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables) as job:
        pid = int(job.stdout.readline())
        time.sleep(0.5)
        assert is_alive(pid)
        job.send_signal(number)
        job.wait()
        wait_for_the_end(pid)


def test_sigterm_is_left_to_the_job(model):
    pid = model.process.pid
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGINT)
    assert model(cells("Cu")).energy.shape == (1,)
    assert model.process.pid == pid
