"""What `status` and the report say of whether more labels are worth their cost."""

import sys
from pathlib import Path

import pytest

from entropy_flows.cli import main
from entropy_flows.schemas import load_campaign
from entropy_flows.store import CampaignStore

DEMO = Path(__file__).parents[2] / "examples" / "silicon_demo.yaml"


@pytest.fixture
def printed(database, tmp_path, monkeypatch, capsys):
    """Run a command on a campaign of so many equal iterations; what it prints, in one line."""
    campaign = load_campaign(DEMO)
    store = CampaignStore(database, campaign.name)
    store.create(campaign)

    def run(name, iterations):
        errors = {
            "n": 40,
            "energy_mae": 6e-3,
            "energy_rmse": 7e-3,
            "forces_mae": 0.1,
            "forces_rmse": 0.12,
        }
        for number in range(1, iterations + 1):
            store.record(
                number,
                select={
                    "accepted": 2,
                    "rejected": 0,
                    "near_misses": 0,
                    "candidates": 2,
                    "gains": [0.02 / number] * 2,
                },
                label={"labelled": 8, "failed": 1, "requested": 9},
                train={"cells": 8 * number, "epoch": 1, "max_epochs": 1},
                evaluate={"before": errors, "after": errors, "validation": errors},
            )
        arguments = ["entropy-flows", name, str(DEMO), "-C", str(tmp_path / "folder")]
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as done:
            main()
        assert not done.value.code
        return " ".join(capsys.readouterr().out.split())

    return run


def test_status_advises_once_there_is_something_to_say(printed):
    assert "advice" not in printed("status", 0)
    assert "advice (early): after 9 (1 failed) labels" in printed("status", 1)
    text = printed("status", 3)
    assert "advice (flat): after 27 (3 failed) labels" in text
    assert "gain per label 0.02 → 0.01 → 0.0067" in text
    assert "or stop" in text


def test_a_worse_model_is_told_with_what_the_campaign_goes_on_from(database, printed, tmp_path):
    printed("status", 2)
    store = CampaignStore(database, load_campaign(DEMO).name)
    decision = {
        "model": "sha256:b",
        "iteration": 0,
        "is_new": False,
        "worse": True,
        "reason": "worse: energy MAE 9 → 45",
    }
    store.record(1, **{"evaluate.continues": decision})
    line = (
        "iteration 1: its model is worse: energy MAE 9 → 45; "
        "the campaign goes on from the base model"
    )
    text = printed("status", 0)
    assert line in text
    assert "base model (worse)" in text
    printed("report", 0)
    page = (tmp_path / "folder" / "report" / "index.html").read_text()
    assert f"{line[0].upper()}{line[1:]}." in page


def test_so_does_the_report(printed, tmp_path):
    printed("report", 2)
    page = (tmp_path / "folder" / "report" / "index.html").read_text()
    assert "Advice (flat): after 18 (2 failed) labels" in page
