"""Two hundred damaged vasprun.xml: each step is read, or refused in one short line."""

from damage import Damage, read_damaged
from test_standin_md import MD, run_vasp

from entropy_flows.label.existing import StepRule, read_files

FILES = 200
DAMAGE = Damage(
    names=(
        "calculation",
        "energy",
        "varray",
        "forces",
        "stress",
        "structure",
        "basis",
        "positions",
        "e_fr_energy",
    ),
    words=(
        "********",
        "nan",
        "-0.431D+02",
        "1e999",
        "<",
        "&",
        "</v>",
        "<v>",
        "",
        "9" * 30,
        "\x00",
        "T",
    ),
    lines=("<calculation>\n", "</calculation>\n", "<v> 0.0 0.0 </v>\n", "<set>\n", "\n", "<!-- \n"),
)


def test_two_hundred_damaged_runs(tmp_path, monkeypatch):
    whole = run_vasp(tmp_path / "run", monkeypatch, **MD).read_text()
    every_step = StepRule.parse("all")
    outcome = read_damaged(
        tmp_path / "vasprun.xml", whole, DAMAGE, FILES, lambda path: read_files(path, every_step)
    )
    assert outcome.read > FILES
    assert len(outcome.longest) < 300
    assert "\n" not in outcome.longest
