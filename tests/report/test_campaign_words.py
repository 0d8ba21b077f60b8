"""The words of a campaign's page: its loop, its cost, and the cards of its cells."""

import numpy as np
import pytest
from ase.build import bulk

from entropy_flows.geometry import to_structure
from entropy_flows.report.costs import bought_rows, cost_rows, hours_by_stage
from entropy_flows.report.loop import loop_stages
from entropy_flows.report.structure_card import nearest_keys, structure_card
from entropy_flows.schemas.status import RunningJob

ITERATION = {
    "iteration": 2,
    "runs": [
        {"snapshots": 10, "reason": None},
        {"snapshots": 4, "reason": "too hot"},
    ],
    "select": {"candidates": 14, "accepted": 6, "gains": [0.4, 0.2]},
    "refine": {"tried": 3, "accepted": 1},
    "label": {"requested": 8, "labelled": 4, "failed": 1, "anchors": 1},
    "seconds": {"explore/0": 1800.0, "explore/1": 1800.0, "label/0": 3600.0, "plan": 36.0},
}


def job(stage, done, total, lost=None):
    return RunningJob(
        title=f"{stage}/0",
        stage=stage,
        worker="w",
        host="h",
        seconds=1.0,
        silence=1.0,
        lost=lost,
        done=done,
        total=total,
    )


def test_the_loop_says_what_each_stage_did_and_which_one_works():
    stages = {stage.name: stage for stage in loop_stages(ITERATION, [job("label", 1, 4)])}
    assert list(stages) == ["explore", "select", "refine", "label", "train", "evaluate"]
    assert (stages["explore"].count, stages["explore"].state) == ("14", "done")
    assert stages["explore"].detail == "2 trajectories, 1 stopped early"
    assert (stages["select"].count, stages["select"].detail) == ("6", "of 14 candidates")
    assert (stages["label"].state, stages["label"].share) == ("running", 0.25)
    assert stages["label"].detail == "of 8, 1 failed, 1 anchors"
    assert (stages["train"].state, stages["train"].count) == ("waiting", "–")


def test_a_lost_job_is_not_running_and_a_failed_one_is_said():
    lost = [job("train", 3, 40, lost="its worker is dead")]
    stages = {stage.name: stage for stage in loop_stages(ITERATION, lost, failed=["evaluate"])}
    assert stages["train"].state == "waiting"
    assert stages["evaluate"].state == "failed"
    assert {stage.state for stage in loop_stages({}, [])} == {"waiting"}


def test_hours_add_up_and_what_labels_bought():
    assert hours_by_stage([ITERATION]) == pytest.approx(
        {"exploration": 1.0, "labels": 1.0, "bookkeeping": 0.01}
    )
    *_, last = cost_rows([ITERATION, ITERATION])
    assert last == ["all", "4.02", "100"]
    _, row = bought_rows([ITERATION])
    assert row[:5] == ["2", "4", "2.01", "0.502", "0.3"]
    assert cost_rows([]) == bought_rows([]) == []


def entry(**fields):
    atoms = bulk("Si", cubic=True)
    origin = {"phase": "diamond", "temperature": 300.0, "k": 5.0, "pressure": 0.0}
    return {
        "key": "001/explore/00001/00010",
        "stage": "select",
        "iteration": 1,
        "gain": 0.5,
        "structure": to_structure(atoms).as_dict(),
        "origin": {**origin, "run": 1, "step": 10, "mode": "atom"},
        **fields,
    }


def test_a_card_tells_where_a_cell_is_from_and_what_became_of_it():
    label = {
        "converged": True,
        "energy": -43.2,
        "n_atoms": 8,
        "forces": np.full((8, 3), 0.25).tolist(),
        "provenance": {"engine": "EMT"},
        "split": "test",
    }
    card = structure_card(entry(), label, ["b"])
    story = " ".join(card["story"])
    assert "run 1, step 10: diamond, 300 K, k = 5 eV, nominal 0 GPa" in story
    assert "raised log det Σ by 0.5" in story
    assert "-5.4000 eV/atom" in story
    assert "never trained on" in story
    assert "forces:R:3" in card["extxyz"]
    failed = {**label, "converged": False, "reason": "scf", "evidence": "BRMIX", "forces": None}
    card = structure_card(entry(gain=None, stage="anchor"), failed)
    assert "failed: scf (BRMIX)" in " ".join(card["story"])
    assert "without being judged" in " ".join(card["story"])
    assert card["forces"] is None
    assert "Not labelled yet." in structure_card(entry(origin={}), None)["story"]


def test_neighbours_are_the_nearest_and_not_the_cell_itself():
    means = np.array([[0.0], [5.0], [1.0], [2.0]])
    assert nearest_keys(means, list("abcd"), 0) == ["c", "d", "b"]
    assert nearest_keys(means, list("abcd"), 7) == []
