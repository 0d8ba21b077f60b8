"""Campaign files: what is shipped is valid; a mistake is one line of where, what and why."""

from copy import deepcopy
from pathlib import Path

import pytest
import yaml

import entropy_flows.cli
from entropy_flows.explore import condition_grid, equation_of_state, prescale, seed_cell
from entropy_flows.fingerprints import BispectrumParams
from entropy_flows.geometry import to_atoms
from entropy_flows.params import field_meanings
from entropy_flows.potentials import load_batch_model, locate_model
from entropy_flows.schemas import Campaign, load_campaign
from entropy_flows.schemas.campaign import Stage
from entropy_flows.schemas.stages import CATEGORIES, stages_of
from entropy_flows.store.connection import OUTPUTS
from entropy_flows.store.schema import UNIQUE

ROOT = Path(__file__).parents[2]
TEMPLATES = sorted((Path(entropy_flows.cli.__file__).parent / "templates").glob("*.yaml"))
SHIPPED = [*TEMPLATES, *sorted((ROOT / "examples").glob("*.yaml"))]
SILICON = {
    "name": "test",
    "elements": ["Si"],
    "base_model": "shipped:si-small.nequip.zip",
    "phases": [
        {
            "name": "diamond",
            "spacegroup": "Fd-3m",
            "lattice": {"a": 5.43},
            "sites": {"Si": [[0, 0, 0]]},
        },
        {"name": "file", "file": "beta-tin.cif"},
    ],
    "explore": {"temperatures": [300, 1000], "entropy_weights": [2]},
    "label": {"engine": "vasp-pbe"},
}


def changed(*places_and_values):
    """The silicon campaign with values at paths such as ("explore", "steps"); ... removes a key."""
    data = deepcopy(SILICON)
    for *place, key, value in places_and_values:
        part = data
        for name in place:
            part = part.setdefault(name, {}) if isinstance(part, dict) else part[name]
        if value is ...:
            del part[key]
        else:
            part[key] = value
    return data


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "campaign.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return write


# -- what is shipped
# ----------------------------------------------------------------------


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_shipped_files_are_valid(path):
    campaign = load_campaign(path)
    for number in range(1, campaign.n_iterations + 1):
        assert condition_grid(
            campaign.iteration(number).explore, [phase.name for phase in campaign.phases]
        )


def test_templates_are_all_there():
    assert {path.stem for path in TEMPLATES} == {"demo", "silicon", "carbon", "nacl"}


def test_salts_pressures_are_all_explored():
    campaign = load_campaign(next(path for path in TEMPLATES if path.stem == "nacl"))
    model = load_batch_model(locate_model("shipped:nacl-small.nequip.zip", ROOT))
    for phase in campaign.phases:
        cell = to_atoms(seed_cell(phase, ROOT))
        eos = equation_of_state(cell, model)
        for pressure in campaign.explore.pressures:
            prescale(cell, pressure, eos)  # a ValueError where it has nothing to say
    assert campaign.select.max_labels * campaign.n_iterations <= campaign.stop.label_budget


def test_carbons_three_generations():
    campaign = load_campaign(next(path for path in TEMPLATES if path.stem == "carbon"))
    assert campaign.n_iterations == 3
    first, second, third = (campaign.iteration(number) for number in (1, 2, 3))

    assert first.explore.surface == third.explore.surface == "local"
    assert second.explore.surface == "global"
    assert first.select.selector == "random"
    assert second.select.selector == third.select.selector == "logdet"
    assert second.select.theta_min == third.select.theta_min == 1e-3

    assert [part.select.max_labels for part in (first, second, third)] == [238, 734, 1934]
    assert campaign.stop.label_budget == 238 + 734 + 1934
    assert first.explore.entropy_weights == (5,)
    assert second.explore.entropy_weights == (0, 2, 5, 10)
    assert third.explore.entropy_weights == (2, 5, 10, 20)
    assert first.explore.temperatures == second.explore.temperatures == (300, 1000, 3000)
    assert third.explore.temperatures == (300, 1000, 3000, 5000)
    assert first.explore.pressures == second.explore.pressures == (0, 2, 5, 10, 15, 20)
    assert third.explore.pressures == (0, 5, 10, 20, 40, 60, 80, 100)
    assert len(condition_grid(third.explore, [f"phase-{n}" for n in range(12)])) == 1536

    assert first.train == second.train == third.train
    assert first.train.weight_bins == ((-7.0, 3.0), (-4.0, 1.0), (None, 0.5))
    assert (first.anchors.fraction, first.anchors.max_force) == (0.2, 2.0)
    assert (campaign.dataset.fingerprint.cutoff, campaign.dataset.fingerprint.natx) == (4.5, 200)
    assert (campaign.local_fingerprint.cutoff, campaign.dataset.regularization) == (3.0, 1e-3)


# -- iterations
# ----------------------------------------------------------------------


def test_an_iteration_changes_what_it_names_and_nothing_else():
    data = changed(
        ("explore", "steps", 77),
        ("iterations", [{"explore": {"temperatures": [50]}}, {"select": {"theta_min": 0.5}}]),
    )
    campaign = Campaign.model_validate(data)
    assert campaign.n_iterations == 2
    first, second, beyond = (campaign.iteration(number) for number in (1, 2, 3))
    assert (first.explore.temperatures, first.explore.steps, first.explore.entropy_weights) == (
        (50,),
        77,
        (2,),
    )
    assert first.select == campaign.select
    assert (second.explore, second.select.theta_min) == (campaign.explore, 0.5)
    assert beyond == second


def test_a_preset_in_an_iteration_brings_its_values():
    data = changed(
        ("train", {"preset": "oam-l", "max_epochs": 7}),
        ("iterations", [{}, {"train": {"preset": "small"}}]),
    )
    campaign = Campaign.model_validate(data)
    alone = Campaign.model_validate(changed(("train", {"preset": "small", "max_epochs": 7})))
    assert campaign.iteration(1).train == campaign.train
    assert campaign.iteration(2).train == alone.train
    assert campaign.iteration(2).train.learning_rate != campaign.train.learning_rate


@pytest.mark.parametrize(
    ("stop", "iterations", "expected"),
    [({}, [], 3), ({}, [{}] * 4, 4), ({"max_iterations": 2}, [{}] * 4, 2)],
)
def test_number_of_iterations(stop, iterations, expected):
    assert (
        Campaign.model_validate(changed(("stop", stop), ("iterations", iterations))).n_iterations
        == expected
    )


def test_a_stored_campaign_is_the_same():
    campaign = load_campaign(next(path for path in TEMPLATES if path.stem == "carbon"))
    again = Campaign.model_validate(campaign.model_dump(mode="json"))
    assert again == campaign
    assert [again.iteration(number) for number in (1, 2, 3)] == [
        campaign.iteration(number) for number in (1, 2, 3)
    ]


def test_dataset_has_the_campaigns_elements():
    campaign = load_campaign(next(path for path in TEMPLATES if path.stem == "nacl"))
    assert campaign.dataset.fingerprint.elements == ("Na", "Cl")


def test_the_global_fingerprint_may_be_of_another_kind():
    campaign = Campaign.model_validate(
        changed(("global_fingerprint", {"kind": "bispectrum", "cutoff": 5.0}))
    )
    assert campaign.dataset.fingerprint == BispectrumParams(cutoff=5.0, elements=campaign.elements)
    assert Campaign.model_validate(campaign.model_dump(mode="json")) == campaign
    named = Campaign.model_validate(changed(("global_fingerprint", {"kind": "gom", "cutoff": 4.0})))
    assert named == Campaign.model_validate(changed(("global_fingerprint", {"cutoff": 4.0})))
    assert "kind" not in named.model_dump()["global_fingerprint"]


# -- what is said of it
# ----------------------------------------------------------------------


def test_every_stage_has_its_workers_and_the_lists_name_them():
    assert {*CATEGORIES, *stages_of("cpu")} == set(Stage)
    gpu = ", ".join(stage for stage, category in CATEGORIES.items() if category == "gpu")
    for text in (
        (ROOT / "docs" / "howto" / "cluster.md").read_text(),
        (ROOT / "docs" / "campaign.md").read_text(),
        field_meanings(Campaign)["categories"],
    ):
        assert gpu in " ".join(text.split())


def test_the_page_on_data_has_all_collections():
    text = (ROOT / "docs" / "data.md").read_text()
    for collection, keys in UNIQUE.items():
        if collection == OUTPUTS:
            continue
        assert f"`{collection}`" in text or f"## {collection}\n" in text
        chapter = text.split(f"## {collection}\n")[-1].split("\n## ")[0]
        assert all(name in chapter for name in keys[0])


# -- mistakes
# ----------------------------------------------------------------------

WRONG = {
    "missing key": (changed(("label", ...)), "label: Field required"),
    "missing name": (changed(("name", ...)), "name: Field required"),
    "bad name": (
        changed(("name", "my campaign")),
        "name: String should match pattern",
        "'my campaign'",
    ),
    "negative temperature": (
        changed(("explore", "temperatures", [300, -10])),
        "explore.temperatures.1: Input should be greater than 0 (got -10)",
    ),
    "only temperature negative": (
        changed(("explore", "temperatures", [-10])),
        "explore.temperatures.0: Input should be greater than 0 (got -10)",
    ),
    "phase of the independent test": (
        changed(("independent", {"phases": ["hcp"]})),
        "independent.phases: 'hcp'",
    ),
    "training set of no cells": (
        changed(("curve", {"sizes": [50, 0]})),
        "curve.sizes.1: Input should be greater than",
    ),
    "threshold that ends nothing": (
        changed(("stop", {"forces_mae": 0.1})),
        "stop: forces_mae ends nothing alone",
    ),
    "not a number": (
        changed(("explore", "steps", "many")),
        "explore.steps: Input should be a valid integer",
        "(got 'many')",
    ),
    "name for a mapping": (
        changed(("label", "vasp-pbe")),
        "label: expected a mapping such as {engine: …} (got 'vasp-pbe')",
    ),
    "name for a mapping in a list": (
        changed(("phases", 0, "diamond")),
        "phases.0: expected a mapping such as {name: …} (got 'diamond')",
    ),
    "value for a mapping without keys of its own": (
        changed(("categories", "gpu")),
        "categories: expected a mapping such as {key: …} (got 'gpu')",
    ),
    "value for a list": (
        changed(("explore", "temperatures", 300)),
        "explore.temperatures: expected a list such as [300] (got 300)",
    ),
    "name for a list": (
        changed(("elements", "Si")),
        "elements: expected a list such as [Si] (got 'Si')",
    ),
    "nothing for a list": (changed(("elements", None)), "elements: expected a list (got None)"),
    "no phase": (
        changed(("phases", [])),
        "phases: Tuple should have at least 1 item after validation, not 0 (got [])",
    ),
    "no phase chosen": (
        changed(("explore", "phases", [])),
        "iterations[0]: phases: the list is empty",
    ),
    "unknown phase": (
        changed(("explore", "phases", ["dimond"])),
        "explore.phases: 'dimond' is not a phase of this campaign (diamond, file)",
    ),
    "unknown element": (changed(("elements", ["Xx"])), "elements: 'Xx' is not a chemical symbol"),
    "element twice": (
        changed(("elements", ["Si", "Si"])),
        "elements: Si, Si: an element is named twice",
    ),
    "duplicate phases": (
        changed(("phases", 1, "name", "diamond")),
        "phases: two have the same name (diamond, diamond)",
    ),
    "misspelt section": (
        changed(("selct", {"theta_min": 1})),
        "unknown key 'selct'; did you mean 'select'?",
    ),
    "misspelt key": (
        changed(("explore", "temperature", [300])),
        "explore: unknown key 'temperature'; did you mean 'temperatures'?",
    ),
    "misspelt in a phase": (
        changed(("phases", 0, "supercel", [1, 1, 2])),
        "phases.0: unknown key 'supercel'; did you mean 'supercell'?",
    ),
    "misspelt in an iteration": (
        changed(("iterations", [{}, {"explore": {"presures": [0]}}])),
        "iterations[1]: explore: unknown key 'presures'; did you mean 'pressures'?",
    ),
    "misspelt section in an iteration": (
        changed(("iterations", [{"explor": {}}])),
        "iterations[0]: unknown key 'explor'; did you mean 'explore'?",
    ),
    "bad value in an iteration": (
        changed(("iterations", [{"explore": {"temperatures": [300, -1]}}])),
        "iterations[0]: explore.temperatures.1: Input should be greater than 0 (got -1)",
    ),
    "bad value in an iteration that is not reached": (
        changed(("stop", {"max_iterations": 1}), ("iterations", [{}, {"explore": {"steps": 0}}])),
        "iterations[1]: explore.steps: Input should be greater than or equal to 1 (got 0)",
    ),
    "label in an iteration": (
        changed(("iterations", [{"label": {}}])),
        "iterations[0]: unknown key 'label'",
    ),
    "two sources": (
        changed(("phases", 1, {**SILICON["phases"][0], "name": "file", "file": "beta-tin.cif"})),
        "phases.1: phase 'file': give either `file`, or `spacegroup`, `lattice` and `sites`",
    ),
    "no source": (
        changed(("phases", 1, "file", ...)),
        "phases.1: phase 'file': give either `file`, or",
    ),
    "unknown engine": (
        changed(("label", "engine", "vasp")),
        "label: unknown label engine 'vasp'; did you mean 'vasp-mp'?; expected one of: vasp-pbe, ",
    ),
    "selector": (
        changed(("select", "selector", "best")),
        "select.selector: unknown selector 'best', expected one of: "
        "logdet, greedy, farthest, kcentres, kmeans, "
        "committee, hybrid, variance, llpr, bait, facility, herding, kdpp, direct, random",
    ),
    "fingerprint": (
        changed(("global_fingerprint", {"cutoff": -1})),
        "global_fingerprint.cutoff: Input should be",
    ),
    "unknown fingerprint": (
        changed(("global_fingerprint", {"kind": "soap"})),
        "global_fingerprint.kind: unknown fingerprint 'soap', expected one of: gom, bispectrum",
    ),
    "key of another fingerprint": (
        changed(("global_fingerprint", {"kind": "bispectrum", "natx": 20})),
        "global_fingerprint: unknown key 'natx'; known keys: kind, cutoff",
    ),
    "elements that a fingerprint takes for one": (
        changed(("elements", ["Si", "C"]), ("global_fingerprint", {"kind": "bispectrum"})),
        "global_fingerprint: C, Si are all alike to a bispectrum without weights",
    ),
    "not a mapping": ("- name: test\n", "expected a mapping of keys, got list"),
    "empty": ("", "expected a mapping of keys, the file is empty"),
    "bad YAML": ("name: test\nphases: [diamond\nlabel: {\n", "is not valid YAML: ", "line 3"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_one_line(case, write):
    content, *expected = WRONG[case]
    path = write(content)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        load_campaign(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    for part in expected:
        assert part in message
    hints = ("; did you mean", "; expected one of", "; known keys", "; at least")
    assert message.count(";") == sum(message.count(hint) for hint in hints), (
        "one mistake, one message"
    )
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_several_mistakes_are_all_told(write):
    path = write(changed(("seed", -1), ("explore", "steps", 0), ("elements", ["Q"])))
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        load_campaign(path)
    for place in ("seed: ", "explore.steps: ", "elements: "):
        assert place in str(caught.value)


def test_no_file(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"campaign file .*nowhere\.yaml does not exist; `entropy-flows init` writes one",
    ):
        load_campaign(tmp_path / "nowhere.yaml")
