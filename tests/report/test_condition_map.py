"""The map of conditions: what is counted, and that it fits into any terminal."""

import io
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from commands import run
from rich.console import Console

from entropy_flows.report.condition_map import (
    ASCII,
    LAYOUTS,
    MAX_ROWS,
    UNICODE,
    ConditionMap,
    _Layout,
    map_lines,
)
from entropy_flows.report.conditions import condition_counts
from entropy_flows.schemas import load_campaign
from entropy_flows.schemas.status import ConditionCount
from entropy_flows.store import CampaignStore

DEMO = Path(__file__).parents[2] / "examples" / "silicon_demo.yaml"
PAPER = (
    12,
    (300, 1000, 3000, 5000),
    (2, 5, 10, 20, 30, 40, 50, 60),
    (0, 5, 10, 20, 40, 60, 80, 100),
)
"""Phases, temperatures, weights and pressures: 3072 conditions."""


def count(*values):
    return ConditionCount(**dict(zip(ConditionCount.model_fields, values, strict=True)))


def grid(phases, temperatures, weights, pressures, seed=0):
    rng = np.random.default_rng(seed)
    names = [f"carbon, phase number {n}" for n in range(phases)]
    rows = []
    for phase, T, k, P in product(names, temperatures, weights, pressures):
        accepted = int(rng.integers(30))
        stopped = int(rng.random() < 0.05)
        rows.append(count(phase, T, k, P, 1, stopped, 30, accepted, 0))
    return rows


def test_small_map_by_hand():
    rows = [
        count("fcc", 300.0, 0.0, 0.0, 1, 0, 10, 0, 0),
        count("fcc", 300.0, 0.0, 20.0, 1, 0, 10, 1, 0),
        count("fcc", 300.0, 5.0, 0.0, 1, 1, 10, 8, 0),
        count("fcc", 1000.0, 5.0, 20.0, 1, 0, 10, 4, 3),
    ]
    lines = [line.plain for line in map_lines(rows, 80)]
    assert lines[1:4] == [
        "           k 0  k 5",
        "fcc 300 K  ··░░ █×",
        "    1000 K        ▒×",
    ]
    assert "P = 0, 20 GPa" in lines[4]
    assert "██ to 80 %" in lines[5]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("signs", [UNICODE, ASCII])
def test_the_papers_conditions_fit_whatever_the_width(width, signs):
    rows = grid(*PAPER)
    assert len(rows) == 3072
    lines = map_lines(rows, width, signs)
    assert all(line.cell_len <= width for line in lines)
    assert 12 <= len(lines) <= MAX_ROWS + 8
    text = "\n".join(line.plain for line in lines)
    assert "added up over" in text
    assert text.isascii() == (signs is ASCII)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_layout_loses_a_condition(layout):
    rows = grid(3, (300, 1000), (0, 2), (0, 5, 20))
    blocks = _Layout.of(rows, *layout).blocks.values()
    assert sum(block.conditions for block in blocks) == len(rows)
    assert sum(block.accepted for block in blocks) == sum(row.accepted for row in rows)
    assert sum(block.explored for block in blocks) == 30 * len(rows)


def test_frames_of_a_file_have_a_block_of_their_own():
    rows = [
        *grid(1, (300,), (0, 2), (0,)),
        count("md.xyz", None, None, None, 1, 0, 90, 9, 0),
    ]
    text = "\n".join(line.plain for line in map_lines(rows, 80))
    assert "md.xyz" in text
    assert "k –" in text


def test_a_terminal_without_unicode_gets_ascii():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Console(file=stream, width=80).print(ConditionMap(grid(2, (300, 1000), (0, 2), (0, 5))))
    stream.flush()
    text = stream.buffer.getvalue().decode("ascii")
    assert "##" in text


@pytest.fixture
def store(database):
    """Two conditions that ran twice, with what they gave."""
    campaign = load_campaign(DEMO)
    store = CampaignStore(database, campaign.name)
    store.create(campaign)
    names = ("phase", "temperature", "k", "pressure")
    cold, hot = (dict(zip(names, ("diamond", T, 2.0, 0.0), strict=True)) for T in (300.0, 1000.0))
    for number, reason in ((1, None), (2, "exploded: temperature")):
        runs = [
            {**cold, "snapshots": 10, "reason": None, "mean_temperature": 310.0},
            {**hot, "snapshots": 4, "reason": reason, "mean_temperature": 990.0},
        ]
        store.record(number, runs=runs)
    entry = {"campaign": store.name, "stage": "select"}
    stages = [("select", cold), ("refine", cold), ("anchor", cold), ("select", hot)]
    database["structures"].insert_many(
        {**entry, "key": str(n), "position": n, "stage": stage, "origin": origin}
        for n, (stage, origin) in enumerate(stages)
    )
    labels = [(True, cold), (False, hot), (False, hot)]
    database["labels"].insert_many(
        {
            "campaign": store.name,
            "structure_id": str(n),
            "engine_hash": "e",
            "converged": converged,
            "reason": None if converged else "scf_not_converged",
            "stage": "select",
            "position": n,
            "condition": condition,
        }
        for n, (converged, condition) in enumerate(labels)
    )
    return store


def test_counts_are_those_of_the_documents(store):
    cold, hot = condition_counts(store, store.iterations())
    assert (cold.runs, cold.explored, cold.accepted, cold.failures) == (2, 20, 2, 0)
    assert (hot.runs, hot.explored, hot.accepted) == (2, 8, 1)
    assert (hot.stopped, hot.failed_labels) == (1, 2)


@pytest.mark.parametrize("columns", [80, 120])
def test_status_has_the_map_unless_it_is_not_wanted(store, monkeypatch, capsys, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    code, out, err = run(monkeypatch, capsys, "status", DEMO)
    assert code == 0, err
    assert "diamond 300 K" in out
    assert "1000 K" in out
    assert "conditions: accepted of explored" in out
    _, out, _ = run(monkeypatch, capsys, "status", DEMO, "--no-map")
    assert "accepted of explored" not in out
