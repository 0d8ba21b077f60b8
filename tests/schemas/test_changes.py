"""Every key of a campaign file has a rule on when it may change, and the page shows the rules."""

import re
from pathlib import Path

import pytest

from entropy_flows.label.params import LabelParams
from entropy_flows.schemas import Campaign
from entropy_flows.schemas.changes import RULES, When, differences, refusals, rule_of

PAGE = Path(__file__).parents[2] / "docs" / "steering.md"
CONFIG = {
    "name": "test",
    "elements": ["Si"],
    "base_model": "SevenNet-0",
    "phases": [{"name": "diamond", "file": "diamond.cif"}],
    "label": {"engine": "forcefield"},
    "explore": {"temperatures": [300]},
    "iterations": [{}, {"explore": {"steps": 50}}],
}


def campaign(**changes):
    return Campaign.model_validate(CONFIG | changes)


def changes(**fields):
    return differences(campaign(), campaign(**fields))


def refused(begun, explored=(), **fields):
    return [key for key, _ in refusals(changes(**fields), begun, explored)]


def test_every_key_has_a_rule():
    assert set(Campaign.model_fields) - {"name"} == {key for key in RULES if "." not in key}
    shared = {f"label.{name}" for name in LabelParams.model_fields}
    assert {key for key in RULES if key.startswith("label.")} <= shared
    assert rule_of("label.model").when is When.BEGINNING
    assert rule_of("label.top_up").when is When.NEXT
    assert rule_of("explore.temperatures") is RULES["explore"]


def test_the_page_shows_the_rules():
    section = PAGE.read_text().partition("## Settings that are refused")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", section, re.MULTILINE)
    shown = {key: (when, why) for keys, when, why in rows for key in re.findall(r"`(.+?)`", keys)}
    assert shown == {key: (rule.when.value, rule.why) for key, rule in RULES.items()}


def test_a_key_is_named_by_its_path_with_both_values():
    (change,) = changes(explore={"temperatures": [300, 900]})
    assert change.text() == "explore.temperatures: [300.0] → [300.0, 900.0]"
    assert changes() == []


def test_a_file_that_leaves_the_device_open_changes_nothing():
    before = campaign(train={"device": "cuda"})
    assert differences(before, campaign()) == []
    assert [change.key for change in differences(before, campaign(train={"device": "cpu"}))] == [
        "train.device"
    ]


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"elements": ["Si", "C"]}, "elements"),
        ({"seed": 1}, "seed"),
        ({"label": {"engine": "forcefield", "model": "CHGNet"}}, "label.model"),
    ],
)
def test_what_makes_another_past_is_refused(fields, key):
    assert refused(1, **fields) == [key]


def test_cells_that_were_imported_do_not_hold_what_the_iterations_draw():
    assert refused(0, seed=1) == []
    assert refused(0, base_model="7net-l3i5") == []
    assert refused(0, regularization=0.5) == ["regularization"]


def test_phases_may_be_added_and_those_explored_stay():
    more = [*CONFIG["phases"], {"name": "beta-tin", "file": "tin.cif"}]
    assert refused(1, ["diamond"], phases=more) == []
    assert refused(1, ["diamond"], phases=more[1:]) == ["phases (diamond)"]
    other = [{"name": "diamond", "file": "other.cif"}]
    assert refused(1, ["diamond"], phases=other) == ["phases (diamond)"]
    assert refused(1, [], phases=other) == []


def test_entries_of_iterations_that_have_begun_stay():
    first = [{"local_fingerprint": {"natx": 4}}, CONFIG["iterations"][1]]
    assert refused(1, iterations=first) == ["iterations[0]"]
    assert refused(0, iterations=first) == []
    # the last one is also of what follows
    assert refused(2, iterations=[{}, {"explore": {"steps": 60}}]) == []
    assert refused(2, iterations=[*CONFIG["iterations"], {"explore": {"steps": 60}}]) == []
    assert refused(2, iterations=[{}]) == ["iterations[1]"]
