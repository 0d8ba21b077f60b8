"""Slabs and molecules among the seeds: told by `check`, explored as they are, never scaled to a
pressure.
"""

from pathlib import Path

import pytest
import yaml
from commands import run

ROOT = Path(__file__).parents[2]
SLAB = (
    "Si slab\n1.0\n3.84 0 0\n0 3.84 0\n0 0 30\nSi\n4\nDirect\n"
    "0 0 .4\n.5 0 .445\n.5 .5 .49\n0 .5 .535\n"
)
ATOM = "Si atom\n1.0\n12 0 0\n0 12 0\n0 0 12\nSi\n1\nDirect\n.5 .5 .5\n"


def campaign(folder, text, **explore):
    (folder / "POSCAR").write_text(text)
    config = yaml.safe_load((ROOT / "examples" / "silicon_demo.yaml").read_text())
    config["phases"].append({"name": "given", "file": "POSCAR"})
    config["explore"] |= explore
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (SLAB, "a slab, with 25.9 Å of vacuum along c"),
        (ATOM, "a molecule or cluster, with 12.0 Å of vacuum along a"),
    ],
)
def test_check_warns_of_a_vacuum(text, what, tmp_path, monkeypatch, capsys):
    code, out, err = run(
        monkeypatch, capsys, "check", campaign(tmp_path, text, pressures=[0, 5, 10])
    )
    assert code == 0, err
    assert (
        f"warning: phase 'given' is {what}: the cell has a vacuum, V₀ (1 − P/B₀) has "
        "no meaning there" in out
    )
    assert "at P = 0; its runs at 5, 10 GPa are refused" in out
    assert out.count("warning") == 1


def test_check_refuses_a_vacuum_under_pressure_alone(tmp_path, monkeypatch, capsys):
    code, _, err = run(monkeypatch, capsys, "check", campaign(tmp_path, SLAB, pressures=[5, 10]))
    assert code == 1
    assert "explore.pressures must have 0 for it (got 5, 10)" in err
