"""Tables at the widths that terminals have: every cell can be read, whole."""

import io
import re

import pytest
from rich.console import Console

from entropy_flows.cli.check_cost import HOURS_HEADER
from entropy_flows.cli.check_tables import SIZE_HEADER
from entropy_flows.report.iterations import ENDED_RUN_HEADER, iteration_table_rows
from entropy_flows.report.labels import LABEL_HEADER
from entropy_flows.report.progress import job_rows, progress_line
from entropy_flows.report.terminal import terminal_table
from entropy_flows.schemas.status import ApprovalCounts, CampaignStatus, RunningJob, TimeLeft

WIDTHS = (80, 100, 120)
ERRORS = {"energy_mae": 0.0191, "forces_mae": 0.266, "stress_mae": 0.0080, "n": 16}


def iteration(number):
    """An iteration's document as its stages write it."""
    entropy = {"atom": -165.8, "config": -151.5}
    return {
        "iteration": number,
        "select": {
            "candidates": 12360,
            "accepted": 64,
            "near_misses": 29,
            "rejected": 1180,
            "spent": 116,
            "entropy_before": entropy,
            "entropy_after": entropy,
        },
        "refine": {"accepted": 9, "tried": 29, "entropy_after": entropy},
        "label": {"requested": 80, "labelled": 80, "failed": 0, "anchors": 16, "flagged": 1},
        "evaluate": {"before": ERRORS, "after": ERRORS},
    }


def job(number, **fields):
    name = f"silicon-demo-local-4f0c6fa1-12675-2582033-{number}"
    return RunningJob(
        title=f"explore/{number}",
        stage="explore",
        worker=name,
        host="node0123",
        seconds=70.0,
        silence=2.0,
        **fields,
    )


STEPS = {"done": 120, "total": 220, "unit": "steps", "note": "6 runs", "rate": 13.7}
LOST = "its worker silicon-demo-local-4f0c6fa1-12675-2582033-1 is dead"
JOBS = [job(0, **STEPS), job(1, lost=LOST), job(2, **{**STEPS, "unit": "epochs", "rate": 0.02})]
REASONS = "3 × scf_not_converged, 12 × bad_geometry, 1 × out_of_memory"
SIZE = ["1", "1024", "128", "5280000", "36000", "all accepted", "300, 600, 1000, 1500, 3000"]
CONDITION = ["beta-tin", "1500", "20", "20"]
ENDED = "collapsed at step 120: shortest distance 1.02 Å"
TABLES = {
    "iterations": (iteration_table_rows([iteration(n) for n in range(1, 12)]), 1),
    "size": ([SIZE_HEADER, [*SIZE, "2, 5, 10, 20", "0, 10, 20, 40, 80"]], None),
    "hours": ([HOURS_HEADER, ["1", "21 min", "12 min", "130 min", "21 h", "13 d", "14 d"]], None),
    "labels": ([LABEL_HEADER, [*CONDITION, "80", "16", "20", "1", REASONS]], None),
    "runs": ([ENDED_RUN_HEADER, ["1", *CONDITION, "12", "1893", ENDED]], None),
    "jobs": (job_rows(JOBS), None),
}


def rendered(table, width):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def cells(text):
    """Contents of the cells, whose lines are put together again."""
    columns = []
    for line in text.splitlines():
        parts = [part.strip() for part in re.split("[│┃]", line)[1:-1]]
        if not parts:
            columns.append([])
        elif not columns or len(columns[-1]) != len(parts):
            columns.append(parts)
        else:
            columns[-1] = [f"{a} {b}".strip() for a, b in zip(columns[-1], parts, strict=True)]
    return " ".join(" ".join(row) for row in columns)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", sorted(TABLES))
def test_no_cell_is_cut(name, width):
    rows, right_from = TABLES[name]
    text = rendered(terminal_table(rows, name, right_from=right_from), width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    words = cells(text).split()
    for row in rows:
        for cell in row:
            assert not set(cell.split()) - set(words), (cell, text)


@pytest.mark.parametrize("width", WIDTHS)
def test_numbers_are_on_one_line(width):
    rows, _ = TABLES["iterations"]
    text = rendered(terminal_table(rows, right_from=1), width)
    assert text.count("-165.8 → -165.8") == 11
    assert text.count("iteration") >= 2  # each part has the names


def test_a_quantity_that_no_iteration_has_is_no_row():
    assert iteration_table_rows([]) == [["iteration"]]
    rows = iteration_table_rows([{"iteration": 1, "label": {"labelled": 3}}])
    assert rows == [["iteration", "1"], ["labelled", "3"]]


def test_who_works_is_told_in_one_line():
    status = CampaignStatus(
        campaign="x",
        time="2026-01-01T00:00:00Z",
        state="running",
        message=None,
        engines=[],
        jobs={"RUNNING": 3},
        running=JOBS,
        time_left=TimeLeft(seconds=250.0, without=["train"]),
        nobody=None,
        iterations=[],
        failures=[],
        model=None,
        retrained=[],
        excluded=[],
        changes=[],
        approvals=ApprovalCounts(),
        forked_from=None,
        advice={},
    )
    assert progress_line(status, "iteration 1", "3 running") == (
        "iteration 1 | explore/0 120 of 220 steps, 6 runs, 13.7/s; "
        "explore/2 120 of 220 epochs, 6 runs, 50 s each | 3 running | "
        "about 4 min left of the iteration, without train"
    )
