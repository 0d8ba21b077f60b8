"""Submission: once, with the Makers given, and without anything secret in a job."""

import json
from pathlib import Path

from failing_maker import always_fails

from entropy_flows import ActiveLearningMaker, CampaignStore, load_campaign
from entropy_flows.launch.launchpad import launchpad
from entropy_flows.launch.submit import submit

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_submitting_twice_adds_once(database):
    campaign = load_campaign(EXAMPLES / "silicon_demo.yaml")
    store = CampaignStore.open(campaign.name)
    assert submit(store, campaign, EXAMPLES).added
    pad = launchpad()
    count = pad.fireworks.count_documents({})
    assert not submit(store, campaign, EXAMPLES).added
    assert pad.fireworks.count_documents({}) == count
    assert {fw["spec"]["campaign"] for fw in pad.fireworks.find()} == {campaign.name}
    categories = {fw["name"]: fw["spec"]["_category"] for fw in pad.fireworks.find()}
    assert categories["explore"] == categories["train"] == "gpu"
    assert categories["select"] == categories["advance"] == "cpu"
    assert store.document()["state"] == "running"


def test_a_submission_that_died_before_the_launchpad_is_made_up_for(database):
    campaign = load_campaign(EXAMPLES / "silicon_demo.yaml")
    store = CampaignStore.open(campaign.name)
    assert submit(store, campaign, EXAMPLES).added
    launchpad().fireworks.delete_many({})
    assert submit(store, campaign, EXAMPLES).added
    assert launchpad().fireworks.count_documents({}) > 0


def test_a_maker_of_ones_own_reaches_the_jobs(database):
    campaign = load_campaign(EXAMPLES / "silicon_demo.yaml")
    loop = ActiveLearningMaker.from_campaign(campaign)
    loop.plan.label.static_maker = always_fails
    assert submit(CampaignStore.open(campaign.name), campaign, EXAMPLES, loop).added
    plan = launchpad().fireworks.find_one({"name": "plan"})
    assert "FailingMaker" in json.dumps(plan["spec"]["_tasks"])
    assert "mongodb://" not in json.dumps(plan["spec"], default=str)
