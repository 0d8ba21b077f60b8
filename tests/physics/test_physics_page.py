"""What docs/physics.md shows is run."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def blocks():
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "physics.md").read_text(), re.DOTALL)


@pytest.mark.slow
def test_flows_of_atomate2_have_the_label_engines_settings(monkeypatch):
    from entropy_flows.label.vasp_settings import resolved_incar

    monkeypatch.chdir(ROOT)
    names = {}
    exec(next(block for block in blocks() if "EosMaker" in block), names)
    relaxing, static = (resolved_incar(maker) for maker in (names["relax"](4), names["static"]))

    changed = {tag for tag in {*relaxing, *static} if relaxing.get(tag) != static.get(tag)}
    assert changed == {"NSW", "IBRION", "ISIF", "EDIFFG"}
    assert all(len(flow.jobs) > 3 for flow in names["flows"])


@pytest.mark.slow
def test_a_check_by_hand(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    exec(next(block for block in blocks() if "phonons(" in block), {})

    B0, highest = map(float, capsys.readouterr().out.split())
    assert pytest.approx(403, abs=10) == B0
    assert highest == pytest.approx(38.1, abs=1)
