"""The flows of the baseline, the independent test and the learning curve."""

from collections import Counter
from pathlib import Path

import pytest

from entropy_flows.explore import condition_grid, seed_cell
from entropy_flows.flows import (
    ActiveLearningMaker,
    IndependentTestMaker,
    LearningCurveMaker,
    RandomMDMaker,
    curve_of,
    independent_pool,
    random_pool,
)
from entropy_flows.schemas import load_campaign

EXAMPLES = Path(__file__).parents[2] / "examples"
MODEL = "sha256:" + 64 * "a"


@pytest.fixture(scope="module")
def campaign():
    return load_campaign(EXAMPLES / "silicon_demo.yaml")


def flow(maker, campaign, name):
    seeds = {phase.name: seed_cell(phase) for phase in campaign.phases}
    return [job for job, _ in maker.make(seeds, name, MODEL).iterflow()]


def test_the_baseline_has_the_campaigns_grids_without_bias_filter_or_training(campaign):
    maker, loop = (
        RandomMDMaker.from_campaign(campaign, size=128),
        ActiveLearningMaker.from_campaign(campaign),
    )
    names = [phase.name for phase in campaign.phases]
    for number, made in enumerate(maker.explore, 1):
        own = condition_grid(campaign.iteration(number).explore, names)
        plain = condition_grid(made.params, names)
        assert [(c.phase, c.temperature, c.pressure) for c in plain] == [
            (c.phase, c.temperature, c.pressure) for c in own
        ]
        assert {c.k for c in plain} == {0.0}
        plain_runs = made.runs(names, number, campaign.seed)
        theirs = {
            run.seed
            for run in loop.iterations[min(number, len(loop.iterations)) - 1].explore.runs(
                names, number, campaign.seed
            )
        }
        assert len(theirs) == len(plain_runs)
        assert theirs.isdisjoint(
            run.seed for run in plain_runs
        )  # else k = 0 would be the same trajectories
    assert maker.select.params.selector == "random"
    jobs = flow(maker, campaign, "demo.random")
    assert Counter(job.name for job in jobs) == {"explore": 8, "select": 1, "plan": 1, "finish": 1}
    assert len({job.uuid for job in jobs}) == len(jobs)
    assert [job.uuid for job in flow(maker, campaign, "demo.random")] == [job.uuid for job in jobs]
    select = next(job for job in jobs if job.name == "select")
    assert select.function_kwargs["budget"] == 128
    plan = next(job for job in jobs if job.name == "plan")
    assert "anchor_share" not in plan.function_kwargs


def test_the_independent_test_runs_each_phase_pressure_and_temperature(campaign):
    maker = IndependentTestMaker.from_campaign(campaign)
    runs = condition_grid(maker.cells.plain, [phase.name for phase in campaign.phases])
    assert len(runs) == 2 * 3 * 2
    jobs = flow(maker, campaign, "demo.independent")
    assert Counter(job.name for job in jobs) == {
        "independent": 2,
        "select": 1,
        "plan": 1,
        "finish": 1,
    }
    categories = {job.name: job.config.manager_config["category"] for job in jobs}
    assert categories == {"independent": "gpu", "select": "cpu", "plan": "cpu", "finish": "cpu"}


def test_a_curve_is_one_job_a_point_and_one_end(campaign):
    curve = campaign.curve.model_copy(update={"sizes": (50, 25), "seeds": (1, 2)})
    maker = LearningCurveMaker.from_campaign(
        campaign.model_copy(update={"curve": curve}), {"entropy": "demo"}
    )
    jobs = flow(maker, campaign, "demo.curve")
    assert Counter(job.name for job in jobs) == {"point": 12, "finish": 1}
    assert len({job.uuid for job in jobs}) == 13
    assert curve.points()[0] == ("entropy", 25, 1)
    assert {job.config.manager_config["category"] for job in jobs} == {"gpu", "cpu"}


def test_pools_have_names_that_follow_from_what_they_are_of(campaign):
    changed = campaign.model_copy(
        update={
            "independent": campaign.independent.model_copy(update={"steps": 7}),
            "curve": campaign.curve.model_copy(update={"sizes": (7,)}),
        }
    )
    assert (
        random_pool(campaign, 128).name
        == random_pool(changed, 128).name
        == "silicon-demo.random-128"
    )
    assert independent_pool(campaign).name != independent_pool(changed).name
    pools = {"entropy": "a", "random": "b"}
    names = {curve_of(c, p).name for c in (campaign, changed) for p in (pools, {"entropy": "a"})}
    assert len(names) == 4
    train = campaign.train.model_copy(update={"device": "cuda", "committee": 2})
    elsewhere = campaign.model_copy(update={"train": train})
    assert curve_of(elsewhere, pools).name == curve_of(campaign, pools).name
    assert random_pool(campaign, 3).model_copy(update={"name": campaign.name}) == campaign
