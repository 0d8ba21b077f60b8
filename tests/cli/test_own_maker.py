"""The ways to a static Maker of one's own in docs/howto/python.md: named in the file, or put into
the loop in Python.
"""

import importlib
import json
import re
import sys
from pathlib import Path

import pytest
import yaml
from commands import run
from monty.json import MontyDecoder

from entropy_flows.launch.launchpad import launchpad
from entropy_flows.modules import use_folder

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "howto" / "python.md"
NAMED = "mypackage.makers:my_static_maker"


@pytest.fixture
def blocks(tmp_path, monkeypatch):
    """The page's module, importable, and its program; in a folder with the campaign file that they
    name.
    """
    found = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    module, program = (block for block in found if "my_static_maker" in block)
    (tmp_path / "mypackage").mkdir()
    (tmp_path / "mypackage" / "makers.py").write_text(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield program
    for name in [name for name in sys.modules if name.split(".")[0] == "mypackage"]:
        del sys.modules[name]


def write(label):
    """The demo's campaign with this section; its file."""
    config = yaml.safe_load((ROOT / "examples" / "silicon_demo.yaml").read_text()) | {
        "label": label
    }
    path = Path("mine", "campaign.yaml")
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(config))
    return path


def test_a_maker_that_the_file_names(blocks, database, monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, "check", write({"maker": NAMED}), "--load")
    assert code == 0, err
    assert "ENCUT = 700" in out
    code, _, err = run(monkeypatch, capsys, "check", write({"engine": "vasp-pbe", "maker": NAMED}))
    assert code == 1
    assert "give `maker` with engine 'custom', and only with it" in err
    file = write({"maker": NAMED})
    exec(blocks, {})  # the Python way with the same Maker: the file fits
    assert run(monkeypatch, capsys, "check", file, "--database", "--load")[0] == 0


def test_a_maker_put_in_by_python_is_refused_by_commands_that_compare(
    blocks, database, monkeypatch, capsys
):
    file = write({"engine": "vasp-pbe"})
    exec(blocks, {})
    for command in (["check", file, "--database"], ["submit", file]):
        code, _, err = run(monkeypatch, capsys, *command)
        assert code == 1
        assert "with other settings than the engine has here" in err
    assert run(monkeypatch, capsys, "status", file)[0] == 0
    assert run(monkeypatch, capsys, "repair", file)[0] == 0


MODULE = """from dataclasses import dataclass
from pathlib import Path
from atomate2.vasp.jobs.core import StaticMaker
from atomate2.vasp.sets.core import StaticSetGenerator

Path("imported").touch()


@dataclass
class OwnMaker(StaticMaker):
    name: str = "own"


static = OwnMaker(input_set_generator=StaticSetGenerator(user_incar_settings={"ENCUT": 711}))
"""


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """A campaign file with the module of its Maker beside it, far from the working folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "own_makers.py").write_text(MODULE)
    config = yaml.safe_load((ROOT / "examples" / "silicon_demo.yaml").read_text())
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(config | {"label": {"maker": "own_makers:static"}}))
    yield path
    use_folder(None)


def test_check_runs_nothing_of_a_module_beside_the_file(beside, monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, "check", beside)
    assert code == 0, err
    assert (
        "label.maker own_makers:static was not looked into: importing it runs its "
        "code; check --load does" in out
    )
    assert "labels by" not in out
    assert not Path("imported").exists()
    assert "own_makers" not in sys.modules
    assert str(beside.parent) not in sys.path
    for option in (["--inputs", "inputs"], ["--database"]):
        code, _, err = run(monkeypatch, capsys, "check", beside, *option)
        assert code == 1
        assert f"{option[0]} needs the label engine: add --load" in err
    code, out, err = run(monkeypatch, capsys, "check", beside, "--load")
    assert code == 0, err
    assert "ENCUT = 711" in out
    assert Path("imported").exists()


@pytest.mark.parametrize(
    ("label", "key"),
    [
        (
            {"maker": "own_makersss:static"},
            "label.maker own_makersss:static: module 'own_makersss'",
        ),
        (
            {"engine": "forcefield", "model": "nowhere.Calculator"},
            "label.model nowhere.Calculator: module 'nowhere'",
        ),
        (
            {"maker": {"@module": "nowhere.x", "@class": "Maker"}},
            "label.maker nowhere.x:Maker: module 'nowhere'",
        ),
    ],
)
def test_a_module_that_is_nowhere(beside, label, key, monkeypatch, capsys):
    config = yaml.safe_load(beside.read_text()) | {"label": label}
    beside.write_text(yaml.safe_dump(config))
    code, _, err = run(monkeypatch, capsys, "check", beside)
    assert code == 1
    assert f"{key} is neither installed nor in the folder {beside.parent}" in err


def test_workers_find_a_module_beside_the_file(beside, database, monkeypatch, capsys):
    """Jobs say where it lies; whoever only looks at them imports nothing."""
    code, _, err = run(monkeypatch, capsys, "submit", beside)
    assert code == 0, err
    use_folder(None)
    assert "own_makers" not in sys.modules
    pad = launchpad()
    jobs = [pad.get_fw_by_id(number) for number in pad.get_fw_ids()]
    assert {job.spec["modules"] for job in jobs} == {str(beside.parent)}
    assert "own_makers" not in sys.modules
    planned = next(job for job in jobs if job.name == "plan")
    assert "own_makers" in planned.tasks[0]["job"]
    # as a worker does it
    use_folder(planned.spec["modules"])
    made = json.loads(planned.tasks[0]["job"], cls=MontyDecoder)
    generator = made.maker.label.static_maker.input_set_generator
    assert generator.user_incar_settings == {"ENCUT": 711}
    assert Path(sys.modules["own_makers"].__file__).parent == beside.parent


def test_modules_of_one_name_in_two_folders(tmp_path):
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "twice_named.py").write_text(f"number = {number}\n")
    for number in (1, 2, 1):
        use_folder(tmp_path / str(number))
        assert importlib.import_module("twice_named").number == number
    use_folder(None)
    with pytest.raises(ImportError):
        importlib.import_module("twice_named")
