"""Environments of models, each with a Python of its own: `make test-models` makes them."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from small_models import labelled

from entropy_flows.train.mace_input import write_file

REPOSITORY = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("MODEL_ENVIRONMENTS", REPOSITORY / "build" / "environments"))
NEW_MACE = {
    "name": "new",
    "train_file": "train.extxyz",
    "valid_file": "val.extxyz",
    "E0s": "average",
    "model": "MACE",
    "r_max": 4.0,
    "num_radial_basis": 4,
    "num_channels": 4,
    "max_L": 1,
    "max_ell": 1,
    "correlation": 2,
    "MLP_irreps": "4x0e",
    "radial_MLP": "[8]",
    "loss": "universal",
    "batch_size": 4,
    "max_num_epochs": 3,
    "seed": 1,
    "plot": False,
}
"""Configuration of MACE's program for a new model of two layers, trained for seconds."""


@pytest.fixture(scope="session")
def environment():
    """Return the folder of an environment, or skip what needs it."""

    def find(name):
        folder = FOLDER / name
        if not (folder / "bin" / "python").exists():
            pytest.skip(f"no environment {name} in {FOLDER}: make test-models")
        return folder

    return find


@pytest.fixture(scope="session")
def run_there(environment):
    """Run a program of an environment and return its output."""

    def run(name, *arguments, cwd):
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        command = [environment(name) / "bin" / "python", *arguments]
        options = {"capture_output": True, "text": True, "check": False}
        done = subprocess.run(command, cwd=cwd, env=clean, **options)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    return run


@pytest.fixture(scope="session")
def mace_model(environment, run_there, tmp_path_factory):
    """A MACE trained from nothing by its own program, named with its environment."""
    folder = tmp_path_factory.mktemp("mace")
    for name, seeds in (("train", range(8)), ("val", range(8, 11))):
        cells = [labelled(seed) for seed in seeds]
        write_file(folder / f"{name}.extxyz", cells, np.ones(len(cells)))
    (folder / "new.yaml").write_text(yaml.safe_dump(NEW_MACE))
    run_there("mace", "-m", "mace.cli.run_train", "--config", "new.yaml", cwd=folder)
    return f'{folder / "new.model"}?{{"environment": "{environment("mace")}"}}'
