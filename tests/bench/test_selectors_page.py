"""What the page on selectors shows works."""

import re
from pathlib import Path

import numpy as np
import yaml

from entropy_flows.bench import BenchParams
from entropy_flows.schemas import IterationSettings
from entropy_flows.select import SELECTORS

PAGE = (Path(__file__).parents[2] / "docs" / "selectors.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_yaml():
    target, campaign, bench = (yaml.safe_load(block) for block in blocks("yaml"))
    assert IterationSettings.model_validate(target).select.selector == "herding"
    found = IterationSettings.model_validate(campaign)
    assert (found.select.selector, found.train.committee) == ("committee", 4)
    assert BenchParams.model_validate(bench).initial == 25


def test_a_selector_of_ones_own():
    (code,) = blocks("python")
    names = {"__name__": __name__}
    exec(code, names)
    prints = [np.random.default_rng(k).normal(size=(1 + k % 7, 3)) for k in range(40)]
    chosen = names["choose"](names["LargestFirst"](), prints, 10, seed=1)
    assert {len(prints[place]) for place in chosen.indices} == {7, 6}


def test_every_selector_has_its_row():
    first_table = PAGE.partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|", first_table, re.MULTILINE)
    assert set(rows) == set(SELECTORS.builtin)
