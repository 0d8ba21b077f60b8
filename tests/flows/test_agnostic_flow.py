"""The flow of a data set without physics: the searches, and what waits for them."""

from collections import Counter

from entropy_flows.flows import RevEMMaker
from entropy_flows.schemas import AgnosticParams
from entropy_flows.schemas.stages import CATEGORIES, stages_of

LJ = {"engine": "forcefield", "model": "ase.calculators.lj.LennardJones"}


def flow_of(**changes):
    config = {"name": "w", "element": "W", "windows": {"chosen": [0, 4]}, "parts": 3, **changes}
    return RevEMMaker.from_settings(AgnosticParams(**config)).make("w", "W")


def test_searches_wait_for_nothing_and_the_rest_for_them():
    flow = flow_of()
    assert Counter(job.name for job in flow.jobs) == {"ascend": 2 * 2 * 3, "admit": 1, "finish": 1}
    searches = {job.uuid for job in flow.jobs if job.name == "ascend"}
    for job in flow.jobs:
        needed = set(job.input_uuids)
        assert (
            needed == {"ascend": set(), "admit": searches, "finish": {flow.jobs[-2].uuid}}[job.name]
        )


def test_with_an_engine_each_search_has_its_labels_planned():
    flow = flow_of(label=LJ)
    plans = [job for job in flow.jobs if job.name == "plan"]
    admitted = next(job for job in flow.jobs if job.name == "admit")
    assert [job.function_args[0].iteration for job in plans] == list(range(1, 13))
    assert all(set(job.input_uuids) == {admitted.uuid} for job in plans)
    assert {job.uuid for job in plans} < set(flow.jobs[-1].input_uuids)
    assert plans[0].maker.label.min_distance_fraction == 0.0
    assert "anchor_share" not in plans[0].function_kwargs


def test_the_same_file_makes_the_same_jobs():
    first, second = (flow_of() for _ in range(2))
    assert [job.uuid for job in first.jobs] == [job.uuid for job in second.jobs]
    assert len({job.uuid for job in first.jobs}) == len(first.jobs)


def test_categories_are_those_of_the_launchers():
    flow = flow_of(categories={"ascend": "many"}, queue={"ascend": {"walltime": "48:00:00"}})
    for job in flow.jobs:
        config = job.config.manager_config
        assert config["category"] == ("many" if job.name == "ascend" else "cpu")
        assert ("queue" in config) == (job.name == "ascend")
        assert job.name in stages_of("cpu")
        assert job.name not in CATEGORIES
