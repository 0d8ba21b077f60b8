"""A campaign that goes by its committee, through workers."""

import re

import pytest
from test_loop import campaign_file, command, database, ledger


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_second_iteration_goes_by_the_first_ones_committee(tmp_path):
    path = campaign_file(
        tmp_path,
        "voting",
        select={"selector": "committee", "theta_min": 0.05, "max_labels": 8},
        stop={"max_iterations": 2, "label_budget": 16},
        train={"preset": "small", "max_epochs": 2, "committee": 3, "fractions": [0.5, 0.2, 0.3]},
    )
    done = command("run", path, "--workers", "2", timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    with database(path) as db:
        iterations = list(db.iterations.find().sort("iteration", 1))
        models = {*db.members.distinct("sha256"), *db.models.distinct("sha256")}
    assert [document["iteration"] for document in iterations] == [1, 2]
    for document in iterations:
        assert min(document["evaluate"]["calibration"]["forces"]["spread"]) > 0
    assert len(models) == 7  # base model, and three of each iteration, all different
    assert command("verify", path).returncode == 0
    page = re.search(r"report: (.*)", command("report", path).stdout).group(1)
    with open(page) as stream:
        text = stream.read()
    assert "Calibration of the committee" in text
    assert '<figure id="calibration">' in text
    rows = ledger(path)
    again = command("run", path)
    assert "nothing is repeated" in again.stdout
    assert ledger(path) == rows
