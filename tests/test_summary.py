"""Shells and notebooks show what an object is: escaped, without scripts, in any theme's colours."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from cells import rattled

from entropy_flows.entropy import CellBasis, CellMeans, SufficientStatistics, VarianceStatistics
from entropy_flows.entropy import statistics as statistics_module
from entropy_flows.explore import Condition, Run
from entropy_flows.explore.trajectory import Trajectory
from entropy_flows.fingerprints import GOM
from entropy_flows.schemas import Campaign, load_campaign
from entropy_flows.schemas.status import ApprovalCounts, CampaignStatus, IterationStatus, RunningJob
from entropy_flows.summary import Summary, axis_text, curve

EXAMPLES = Path(__file__).parents[1] / "examples"
NASTY = "<script>alert('x')</script>&\"<b onload=x>"
ERRORS = {"energy_mae": 0.0191, "forces_mae": 0.266, "n": 16}


def trajectory(reason=None, phase="fcc", count=4):
    run = Run(0, Condition(phase, 600.0, 2.0, 10.0), "atom", 7)
    values = np.arange(count, dtype=float)
    return Trajectory(
        run,
        numbers=np.array([29, 29]),
        cell=np.eye(3),
        steps=np.arange(count),
        positions=np.zeros((count, 2, 3)),
        energies=values,
        temperatures=values,
        max_forces=values,
        mean_temperature=float("nan"),
        min_distance=2.0,
        reason=reason,
        wall_seconds=1.5,
    )


def status(message=None):
    job = RunningJob(
        title="explore/0",
        stage="explore",
        worker="w",
        host=NASTY,
        seconds=70.0,
        silence=2.0,
        done=3,
        total=9,
        unit="steps",
    )
    iterations = [
        IterationStatus(iteration=1, label={"labelled": 8}, before=ERRORS, after=ERRORS),
        IterationStatus(iteration=2),
    ]
    return CampaignStatus(
        campaign="silicon",
        time=datetime(2026, 1, 2, tzinfo=UTC),
        state="running",
        message=message,
        engines=["EMT"],
        jobs={"RUNNING": 1},
        running=[job],
        time_left=None,
        nobody=None,
        iterations=iterations,
        failures=[],
        model=None,
        retrained=[],
        excluded=[],
        changes=[],
        approvals=ApprovalCounts(),
        forked_from=None,
        advice={},
    )


def statistics():
    fingerprint = GOM(cutoff=3.0, natx=4, elements=("Si",))
    prints = [fingerprint(rattled("Si", repeat=1, seed=seed)) for seed in range(5)]
    log_det = SufficientStatistics(fingerprint.dim)
    means = CellMeans.of(prints)
    variance = VarianceStatistics.of_target(CellBasis.drawn(means, 4, 0.5, True), means, noise=0.1)
    for q in prints[:2]:
        log_det.add(q)
        variance.add(q)
    return log_det, variance


def shown():
    log_det, variance = statistics()
    return {
        "campaign": load_campaign(EXAMPLES / "carbon_vasp.yaml"),
        "trajectory": trajectory(NASTY, NASTY),
        "status": status(NASTY),
        "log det": log_det,
        "variance": variance,
    }


class Parsed(HTMLParser):
    """Tags, attributes and text of a page, whose tags must be closed in order."""

    def __init__(self, page):
        super().__init__()
        self.open = []
        self.tags = set()
        self.attributes = {}
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= dict(attrs)
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= dict(attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += f"{data} "


@pytest.mark.parametrize("name", ["campaign", "trajectory", "status", "log det", "variance"])
def test_html_is_whole_escaped_and_has_no_colours_of_its_own(name):
    each = shown()[name]
    page = each._repr_html_()
    parsed = Parsed(page)
    assert parsed.tags <= {"div", "strong", "table", "tbody", "thead", "tr", "th", "td"} | {
        "svg",
        "polyline",
    }
    assert not [attribute for attribute in parsed.attributes if attribute.startswith("on")]
    assert set(re.findall(r"color:([^;\"]*)", page)) == {"inherit"}
    if name in ("trajectory", "status"):
        assert NASTY in parsed.text
    line = repr(each)
    assert line.startswith(f"{type(each).__name__}(")
    assert "\n" not in line
    assert len(line) < 300


def test_a_campaign_shows_its_conditions():
    campaign = load_campaign(EXAMPLES / "carbon_vasp.yaml")
    assert repr(campaign) == (
        "Campaign('carbon-vasp': C; 2 phases; 3 iterations; labels by vasp-r2scan-rvv10)"
    )
    table = campaign.summary().table
    assert [row[4] for row in table[1:]] == ["36", "144", "256"]
    assert [row[-1] for row in table[1:]] == ["238", "734", "1934"]
    # what travels and is stored is what it was
    assert Campaign.model_validate(campaign.model_dump()) == campaign


def test_a_status_shows_errors_before_and_after():
    table = status().summary().table
    assert table[1] == ["1", "–", "–", "8", "–", "19.1 → 19.1", "266 → 266"]
    assert "3 of 9 steps" in dict(status().summary().lines)["explore/0"]


def test_statistics_show_their_value_unless_that_takes_long(monkeypatch):
    log_det, variance = statistics()
    assert dict(log_det.summary().lines)["H = log det Σ"] == f"{log_det.entropy():.2f}"
    unknown = dict(variance.summary().lines)["unknown of the target, V"]
    assert unknown == f"{100 * variance.value():.3g} %"
    monkeypatch.setattr(statistics_module, "MAX_SHOWN", 1)
    assert "H = log det Σ" not in dict(log_det.summary().lines)


def test_curves_of_anything():
    points = re.search(r'points="([^"]*)"', curve([1.0, np.nan, 3.0, np.inf], "x"))[1].split()
    assert len(points) == 2
    assert [float(point.split(",")[0]) for point in points] == [1.0, 159.0]
    assert curve([], "x") == curve([np.nan], "x") == "–"
    assert "2 → 2" in curve([2.0, 2.0], "x")
    assert "&quot;" in curve([1.0], '"')
    assert Parsed(Summary("t", "s", curves={'"': [1.0, 2.0]}).html()).tags >= {"svg"}
    assert "–" in trajectory(count=0)._repr_html_()


def test_a_value_that_an_axis_has_often_is_written_once():
    assert axis_text([0, 0.0, 0, 0, 2, 5, 10]) == "4 × 0, 2, 5, 10"
    assert axis_text([300.0, 1000.0]) == "300, 1000"
