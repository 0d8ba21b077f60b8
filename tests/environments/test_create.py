"""Environments of this machine: found, made whole or not at all, and named in messages."""

import json

import pytest

from entropy_flows.environments.create import create_environment, list_environments
from entropy_flows.environments.locate import RECORD, find_environment
from entropy_flows.environments.requirements_files import (
    FOLDER,
    Requirements,
    requirements_names,
    shipped_requirements,
)
from entropy_flows.potentials import with_arguments
from entropy_flows.settings import settings


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("ENTROPY_FLOWS_ENVIRONMENTS", str(tmp_path / "store"))
    settings.cache_clear()
    yield tmp_path / "store"
    settings.cache_clear()


@pytest.fixture
def nothing(tmp_path):
    """Requirements of no package: pip has nothing to do, and does it."""
    file = tmp_path / "nothing.txt"
    file.write_text("# Nothing\n# python: >=3.9\n# packages: pip\n")
    return Requirements.read(file)


@pytest.mark.parametrize("name", requirements_names())
def test_every_requirement_that_ships_is_pinned(name):
    requirements = shipped_requirements(name)
    pins = {
        line.partition("==")[0]: line.partition("==")[2]
        for line in requirements.path.read_text().splitlines()
        if not line.startswith("#")
    }
    assert all(pins.values())
    assert set(requirements.packages) <= set(pins)
    assert requirements.python


@pytest.mark.slow
def test_one_is_made_once_and_an_unfinished_one_anew(store, nothing):
    environment = create_environment("mine", nothing)
    record = json.loads((environment.folder / RECORD).read_text())
    assert record["packages"]["pip"] == record["main"]["pip"]
    marker = environment.folder / "marker"
    marker.touch()
    assert create_environment("mine", nothing) == environment
    assert marker.exists(), "it was not made again"
    (environment.folder / RECORD).unlink()
    assert [state.is_finished for state in list_environments()] == [False]
    create_environment("mine", nothing)
    assert not marker.exists()
    assert [state.packages["pip"] for state in list_environments()] == [record["main"]["pip"]]


def test_what_cannot_be_made_is_one_line(store, nothing, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("# Other\n-r none.txt\n")
    with pytest.raises(ValueError, match=r"failed \(log .*install.log\): ERROR: .*none.txt"):
        create_environment("broken", Requirements.read(other))
    record = {"requirements": "nothing", "requirements_sha256": "0", "created": "2026-01-01T00:00"}
    (store / "mine").mkdir()
    (store / "mine" / RECORD).write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"mine was made from other requirements \(nothing, 20"):
        create_environment("mine", Requirements.read(other))
    (store / "full").mkdir()
    (store / "full" / "thesis.tex").touch()
    with pytest.raises(ValueError, match="is no environment and not empty"):
        create_environment("full", nothing)
    assert (store / "full" / "thesis.tex").exists()
    (store / "theirs").mkdir()
    (store / "theirs" / "pyvenv.cfg").touch()
    (store / "linked").symlink_to(store / "theirs")
    for name, reason in (
        ("theirs", "not made by this command"),
        ("linked", "is a link to another"),
    ):
        with pytest.raises(ValueError, match=reason):
            create_environment(name, nothing)
    assert (store / "theirs" / "pyvenv.cfg").exists()
    with pytest.raises(ValueError, match=r"'\.\./x': expected letters"):
        create_environment("../x", nothing)


def test_a_python_that_does_not_fit_is_refused(store, tmp_path):
    file = tmp_path / "old.txt"
    file.write_text("# Old\n# python: <3\n")
    with pytest.raises(ValueError, match=r"old needs Python <3; .* is 3\.\d+\.\d+"):
        create_environment("old", Requirements.read(file))
    with pytest.raises(ValueError, match="--python /none is no Python that can be run here"):
        create_environment("old", Requirements.read(file), "/none")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mcae", "no environment 'mcae' in {store}; did you mean 'mace'?"),
        ("{store}/none", "environment {store}/none is no folder here"),
        ("{store}/mace/bin/python", "is no folder here; give its folder {store}/mace"),
        ("empty", "environment empty ({store}/empty) has no Python: expected {store}/empty/bin"),
    ],
)
def test_what_is_no_environment_is_named(store, name, message):
    (store / "empty").mkdir(parents=True)
    (store / "mace" / "bin").mkdir(parents=True)
    (store / "mace" / "bin" / "python").touch(mode=0o755)
    with pytest.raises(ValueError, match="environment") as refused:
        find_environment(name.format(store=store))
    assert message.format(store=store) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_command(store, run_main):
    code, output = run_main("environment", "list")
    assert code == 0
    assert f"environments in {store}" in output
    assert "can be created: chgnet, mace, matgl, mat" in output
    assert run_main("environment", "create", "mcae")[1].startswith(
        "error: unknown environment 'mcae'; did you mean 'mace'?"
    )
    assert "no environment 'mace' in" in run_main("environment", "check", "mace")[1]
    assert "expected a name" in run_main("environment", "check")[1]


def test_a_model_is_loaded_and_timed(environment, run_main):
    code, output = run_main(
        *("environment", "check", environment, "--element", "Cu"),
        *("--model", "ase.calculators.emt.EMT"),
    )
    assert code == 0
    assert "a step of 32 cells" in output
    assert f"{environment}: Python 3." in output


def test_files_are_in_the_package():
    assert {path.suffix for path in FOLDER.iterdir()} == {".txt"}


def test_a_campaigns_environments_are_looked_for_before_it_runs(store, environment):
    from entropy_flows.cli.preflight import environment_warnings

    here = with_arguments("a.model", {"environment": str(environment)})
    away = with_arguments("b.model", {"environment": "mace"})
    (warning,) = environment_warnings({"base_model": here, "student": away}, runs_here=False)
    assert warning.startswith(f"student: no environment 'mace' in {store}")
    assert warning.endswith("Where its jobs run it must be there")
    with pytest.raises(ValueError, match="student: no environment 'mace'"):
        environment_warnings({"student": away}, runs_here=True)
