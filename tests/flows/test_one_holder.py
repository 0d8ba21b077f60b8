"""What is one fact for several stages is held once, and each stage sees a change of it."""

from collections import Counter
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

import entropy_flows.cli
from entropy_flows.explore import seed_cell
from entropy_flows.flows import ActiveLearningMaker, IndependentTestMaker, RandomMDMaker, RevEMMaker
from entropy_flows.params import Params
from entropy_flows.schemas import AgnosticParams, StopParams, load_campaign
from entropy_flows.select import HerdingSelector

CAMPAIGN = load_campaign(Path(entropy_flows.cli.__file__).parent / "templates" / "silicon.yaml")
SEEDS = {phase.name: seed_cell(phase) for phase in CAMPAIGN.phases}
MODEL = "sha256:" + 64 * "a"


@pytest.fixture
def loop():
    label = CAMPAIGN.label.model_copy(update={"top_up": 2})
    train = CAMPAIGN.train.model_copy(update={"committee": 2})
    return ActiveLearningMaker.from_campaign(
        CAMPAIGN.model_copy(update={"label": label, "train": train})
    )


def stages(loop, iteration=1):
    """Name → arguments of a job of it, the facts of its context among them."""
    context = loop.context("mine", MODEL, iteration)
    flow = loop.iteration(context, SEEDS, parent=MODEL)
    return {
        job.name: {**vars(job.function_args[0]), **job.function_kwargs}
        for job, _ in flow.iterflow()
    }


def given(loop, fact, iteration=1):
    """Name → value, of the stages that are given it."""
    return {name: given[fact] for name, given in stages(loop, iteration).items() if fact in given}


def test_the_threshold(loop):
    first = loop.iterations[0]
    first.select.params = first.select.params.model_copy(update={"theta_min": 0.5})
    assert given(loop, "theta_min") == {"refine": 0.5}


def test_the_selector(loop):
    first = loop.iterations[0]
    first.select.params = HerdingSelector(target="pool")
    flow = loop.iteration(loop.context("mine", MODEL, 1), SEEDS, parent=MODEL)
    makers = {job.name: job.maker for job, _ in flow.iterflow()}
    replacing = [makers["top_up_1"].select, makers["top_up_2"].select]
    assert replacing == [makers["select"].params] * 2 == [HerdingSelector(target="pool")] * 2


def test_the_data_set_is_that_of_the_loop_in_every_iteration(loop):
    loop.dataset = loop.dataset.model_copy(update={"regularization": 0.125})
    seen = given(loop, "dataset")
    assert set(seen) >= {"explore", "select", "refine", "plan", "top_up_1", "top_up_2"}
    assert {
        dataset.regularization for dataset in [*seen.values(), *given(loop, "dataset", 3).values()]
    } == {0.125}


def test_outliers(loop):
    loop.outliers = loop.outliers.model_copy(update={"max_force": 7.0})
    seen = given(loop, "outliers")
    assert set(seen) >= {"train", "member"}
    assert {outliers.max_force for outliers in seen.values()} == {7.0}


def test_the_anchors(loop):
    first = loop.iterations[0]
    first.anchor.params = first.anchor.params.model_copy(update={"fraction": 0.5})
    first.explore.params = first.explore.params.model_copy(update={"temperatures": (77.0,)})
    assert given(loop, "anchor_share") == {"plan": 0.5}
    assert given(loop, "explore")["anchor"].temperatures == (77.0,)
    assert given(loop, "budget") == {"select": 100, "refine": 100, "plan": 200}


def test_the_budget(loop):
    first = loop.iterations[0]
    first.select.params = first.select.params.model_copy(update={"max_labels": 50})
    assert given(loop, "budget")["plan"] == loop.budget(1, 0) == 50


def test_the_engine(loop):
    other = loop.engine.__class__(name="other")
    before = given(loop, "engine_hash")
    loop.plan.label.static_maker = other
    after = given(loop, "engine_hash")
    assert loop.engine is other
    assert len(set(before.values())) == len(set(after.values())) == 1
    assert set(before) == set(after)
    assert set(after) >= {"plan", "top_up_1", "top_up_2", "train", "member", "evaluate"}


def held(maker):
    """Types of the parameters that a Maker and those in it hold."""
    found = Counter()
    for field in fields(maker):
        value = getattr(maker, field.name)
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, Params):
                found[type(each).__name__] += 1
            elif is_dataclass(each):
                found += held(each)
    return found


AGNOSTIC = AgnosticParams(
    name="w",
    element="W",
    label={"engine": "forcefield", "model": "ase.calculators.lj.LennardJones"},
)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ActiveLearningMaker.from_campaign(CAMPAIGN),
        lambda: RandomMDMaker.from_campaign(
            CAMPAIGN.model_copy(update={"stop": StopParams(max_iterations=1)})
        ),
        lambda: IndependentTestMaker.from_campaign(CAMPAIGN),
        lambda: RevEMMaker.from_settings(AGNOSTIC),
    ],
    ids=["loop", "random", "independent", "agnostic"],
)
def test_no_parameters_are_held_twice(make):
    counts = held(make())
    assert counts
    assert set(counts.values()) == {1}, counts


def test_what_a_maker_does_not_hold_cannot_be_set_on_it(loop):
    with pytest.raises(
        AttributeError, match="SelectMaker has no field 'dataset'; its fields: name, params"
    ):
        loop.iterations[0].select.dataset = CAMPAIGN.dataset
    with pytest.raises(AttributeError, match="RefineMaker has no field 'theta_min'"):
        loop.iterations[0].refine.theta_min = 0.5
    with pytest.raises(AttributeError, match="IterationMaker has no field 'plan'"):
        loop.iterations[0].plan = loop.plan
