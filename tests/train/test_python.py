"""The Python of a training: its command, its packages' versions, and what is refused."""

import sys
from pathlib import Path

import pytest
from other_python import make_environment

from entropy_flows.faults import MachineError
from entropy_flows.potentials import with_arguments
from entropy_flows.train.process import run_program
from entropy_flows.train.python import HERE, TrainingPython


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    return make_environment(tmp_path_factory.mktemp("environments") / "other")


def in_environment(environment):
    return TrainingPython.of(with_arguments("base.model", {"environment": str(environment)}))


def test_a_program_runs_by_the_python_of_the_base_models_environment(environment, tmp_path):
    (tmp_path / "run").mkdir()
    script = tmp_path / "program.py"
    script.write_text("import sys, numpy; print(sys.prefix, numpy.__name__, sys.argv[1:], 'done')")
    with open(tmp_path / "lock", "w") as lock:
        for python in (HERE, in_environment(environment)):
            run_program("fit", script, ["a", "b"], tmp_path, "done", lock.fileno(), python=python)
            prefix = (tmp_path / "run" / "fit.console.log").read_text().split()[0]
            expected = sys.prefix if python is HERE else environment
            assert Path(prefix).resolve() == Path(expected).resolve()


def test_versions_are_those_of_the_environment(environment):
    packages = ["torch", "entropy_flows", "typing-extensions"]
    assert in_environment(environment).versions(packages) == HERE.versions(packages)
    with pytest.raises(MachineError, match="has no package no-such-package"):
        in_environment(environment).versions(["torch", "no-such-package"])


def test_a_missing_environment_is_the_machines_fault(tmp_path):
    with pytest.raises(MachineError, match="is no folder here"):
        in_environment(tmp_path / "none")
