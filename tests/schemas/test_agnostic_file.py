"""The file of `entropy-flows agnostic`: what it describes, and how a mistake is told."""

from pathlib import Path

import pytest
import yaml

from entropy_flows.explore.cells import CLOSE_PACKED
from entropy_flows.schemas import AgnosticParams, Campaign, load_agnostic, load_settings, schema_of

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    "path", sorted((EXAMPLES / "agnostic").glob("*.yaml")), ids=lambda path: path.stem
)
def test_the_examples_are_valid(path):
    settings = load_agnostic(path)
    assert settings.batches()
    assert load_settings(path) == settings


def test_a_campaign_is_told_from_a_data_set():
    assert schema_of({"elements": ["Si"]}) is Campaign
    assert isinstance(load_settings(EXAMPLES / "silicon_demo.yaml"), Campaign)


def test_windows_modes_and_parts_in_order():
    settings = AgnosticParams(name="w", element="W", windows={"chosen": [3, 1]}, parts=2)
    assert [(w.index, mode, part) for w, mode, part in settings.batches()] == [
        (w, mode, part) for w in (1, 3) for mode in ("atom", "config") for part in (0, 1)
    ]
    assert settings.dataset.fingerprint.elements == ("W",)


def test_the_papers_protocol_is_the_default():
    settings = AgnosticParams(name="w", element="W")
    assert len(settings.all_windows()) == 17
    assert (settings.iterations, settings.bootstrap, settings.modes) == (
        25_000,
        10,
        ("atom", "config"),
    )
    assert settings.shape.atoms == (2, 25)


def test_open_windows_are_larger_and_repel_less():
    settings = load_agnostic(EXAMPLES / "agnostic" / "carbon.yaml")
    found = settings.all_windows()
    dense, loose = [w for w in found if w.index < 17], [w for w in found if w.index >= 17]
    assert len(loose) == 4
    assert max(w.high for w in loose) > max(w.high for w in dense)
    assert [w.r_core / w.low ** (1 / 3) for w in dense] == pytest.approx([CLOSE_PACKED] * 6)
    assert [w.r_core / w.low ** (1 / 3) for w in loose] == pytest.approx(
        [0.75 * 1.42 / 8.8 ** (1 / 3)] * 4
    )


def test_search_is_the_part_that_a_run_is_told():
    settings = AgnosticParams(name="w", element="W", iterations=7, ascent={"max_steps": 3})
    assert settings.search.iterations == 7
    assert settings.search.ascent.max_steps == 3


BAD = {
    "element": ({"element": "Xx"}, "'Xx' is not a chemical symbol"),
    "no crystal": ({"element": "Ga"}, "no crystal of element 'Ga'"),
    "misspelt": ({"iteration": 3}, "unknown key 'iteration'; did you mean 'iterations'"),
    "window": ({"windows": {"count": 3, "chosen": [3]}}, "chosen window 3: expected 0 to 2"),
    "twice": ({"windows": {"chosen": [1, 1]}}, "each once"),
    "none": ({"windows": {"chosen": []}}, "at least one window"),
    "order": ({"windows": {"lowest": 3.0, "highest": 1.0}}, "lowest 3 must be below highest 1"),
    "modes": ({"modes": ["atom", "atom"]}, "one is named twice"),
    "mode": ({"modes": ["cell"]}, "modes.0"),
    "volume": ({"volume": -3.0}, "volume: Input should be greater than 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_one_line(case, tmp_path):
    changes, message = BAD[case]
    path = tmp_path / "w.yaml"
    path.write_text(yaml.safe_dump({"name": "w", "element": "W", **changes}))
    with pytest.raises(ValueError, match=r"w\.yaml") as caught:
        load_agnostic(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
