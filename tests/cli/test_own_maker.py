"""The README's ways to a static Maker of one's own: named in the file, or put into the loop in Python."""

import re
import sys
from pathlib import Path

import pytest
import yaml
from commands import run

ROOT = Path(__file__).parents[2]
NAMED = "mypackage.makers:my_static_maker"


@pytest.fixture
def blocks(tmp_path, monkeypatch):
    """The module of the README, importable, and its program; in a folder with the campaign file that they name."""
    found = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
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
    config = yaml.safe_load((ROOT / "examples" / "silicon_demo.yaml").read_text()) | {"label": label}
    path = Path("mine", "campaign.yaml")
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(config))
    return path


def test_a_maker_that_the_file_names(blocks, database, monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, "check", write({"maker": NAMED}))
    assert code == 0, err
    assert '"ENCUT": 700' in out
    code, _, err = run(monkeypatch, capsys, "check", write({"engine": "vasp-pbe", "maker": NAMED}))
    assert code == 1
    assert "give `maker` with engine 'custom', and only with it" in err
    file = write({"maker": NAMED})
    exec(blocks, {})  # the Python way with the same Maker: the file fits
    assert run(monkeypatch, capsys, "check", file, "--database")[0] == 0


def test_a_maker_put_in_by_python_is_refused_by_commands_that_compare(blocks, database, monkeypatch, capsys):
    file = write({"engine": "vasp-pbe"})
    exec(blocks, {})
    for command in (["check", file, "--database"], ["submit", file]):
        code, _, err = run(monkeypatch, capsys, *command)
        assert code == 1
        assert "with other settings than the engine has here" in err
    assert run(monkeypatch, capsys, "status", file)[0] == 0
    assert run(monkeypatch, capsys, "repair", file)[0] == 0
