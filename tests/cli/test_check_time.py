"""How long `check` says that a campaign takes."""

from pathlib import Path

import pytest
import yaml
from commands import run

from entropy_flows.cli.check_cost import HOURS_HEADER, StepTimes, hours_rows
from entropy_flows.cli.check_tables import assumptions, incar_lines
from entropy_flows.schemas import load_campaign

DEMO = Path(__file__).parents[2] / "examples" / "silicon_demo.yaml"
PHASES = ["diamond", "beta-tin"]
TIMES = StepTimes(
    biased={"diamond": 1.0, "beta-tin": 3.0},
    plain={"diamond": 0.5, "beta-tin": 0.5},
    trained=0.5,
    label=2.0,
)
DAY = 86400.0


def hours(workers, times=TIMES):
    header, *rows = hours_rows(load_campaign(DEMO), PHASES, times, workers)
    assert header == HOURS_HEADER
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_the_hours_follow_from_the_times_of_a_step():
    first, second = hours(workers=1)
    # 12 conditions of each phase, 220 steps each
    assert first["explore"] == f"{12 * 220 * (1.0 + 3.0) / 3600:.0f} h"
    # anchors: 2 temperatures and 2 pressures of each phase, no ramp, without bias
    assert first["anchors"] == f"{2 * 4 * 170 * 0.5 / 60:.0f} min"
    assert first["labels"] == f"{80 * 2.0 / 60:.0f} min"
    # refinement: 100 candidates, 20 steps of 2 s on average
    assert first["refine ≤"] == f"{100 * 20 * 2.0 / 60:.0f} min"
    # 40 epochs of 0.7 of the labels so far, three evaluations each
    assert first["train ≤"] == f"{40 * 0.7 * 80 * 3 * 0.5 / 60:.0f} min"
    assert second["train ≤"] == f"{40 * 0.7 * 160 * 3 * 0.5 / 60:.0f} min"


def test_workers_share_what_is_many_jobs_and_no_more_of_them_than_there_are():
    alone, four, hundred = (hours(workers=count)[0] for count in (1, 4, 100))
    assert alone["explore"] == "3 h"
    assert four["explore"] == hundred["explore"] == "44 min"  # four jobs of six runs
    assert alone["train ≤"] == hundred["train ≤"]


def test_labels_through_files_are_not_guessed():
    times = StepTimes(TIMES.biased, TIMES.plain, TIMES.trained, None)
    assert hours(1, times)[0]["labels"] == "–"
    said = " ".join(assumptions(times, 2, "cpu"))
    assert "labels are not timed" in said
    assert "2 workers" in said


def test_tags_are_read_one_by_one():
    text = "ENCUT = 600\nMAGMOM  =  1.0 2.0 3.0 4.0 5.0 6.0 7.0\n\nALGO = Normal\n"
    assert incar_lines(text) == [
        "ALGO = Normal",
        "ENCUT = 600",
        "MAGMOM = 1.0 2.0 3.0 4.0 5.0 6.0 7.0",
    ]


@pytest.mark.slow
def test_the_model_is_timed_on_the_seeds(tmp_path, monkeypatch, capsys):
    config = yaml.safe_load(DEMO.read_text())
    config["label"] = {"engine": "forcefield", "model": "ase.calculators.lj.LennardJones"}
    config["explore"]["batch_size"] = 1
    file = tmp_path / "timed.yaml"
    file.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("COLUMNS", "100")
    code, out, err = run(monkeypatch, capsys, "check", file, "--time")
    assert code == 0, err
    text = " ".join(out.split())
    assert "for one step of one run: diamond" in text
    assert "s a label" in text
    assert "data set: fingerprints of d = 24" in text
