"""What a campaign's seeds start from, and what is told of it: moments of the phase, of the engine,
or of nobody.
"""

import numpy as np
import pytest
from cells import crystal
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner

from entropy_flows.cli.app import app
from entropy_flows.launch.seeds import campaign_seeds, seed_warnings
from entropy_flows.moments import moments_of
from entropy_flows.schemas import Campaign

AFM = [2, 2, -2, -2, 0, 0, 0, 0]


def magnetite_like():
    cell = Structure(
        Lattice.cubic(4.6),
        ["Fe2+", "Fe3+", "Fe3+", "O2-"],
        [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
    )
    for frac in ([0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]):
        cell.append("O2-", frac)
    return cell


def campaign(tmp_path, label, magmoms=None, cell=None):
    """One phase, NiO unless another cell is given."""
    cell = cell or crystal("Fm-3m", Lattice.cubic(4.17), ["Ni", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    cell.to_file(str(tmp_path / "seed.json"))
    phase = {"name": "rock", "file": "seed.json"} | (
        {} if magmoms is None else {"magmoms": magmoms}
    )
    elements = sorted({site.specie.symbol for site in cell})
    fields = {
        "name": "x",
        "elements": elements,
        "base_model": "SevenNet-0",
        "phases": [phase],
        "label": label,
    }
    return Campaign.model_validate(fields)


def told(settings, folder):
    seeds = campaign_seeds(settings, folder)
    return seeds["rock"].cell, seed_warnings(seeds, settings.label.make_engine())


SPIN = {"engine": "vasp-pbe", "spin": True}
FORCEFIELD = {"engine": "forcefield", "model": "ase.calculators.emt.EMT"}
QE = {"engine": "qe-pbe", "spin": True}


def with_tags(**tags):
    """atomate2's own static Maker, which has spin, with INCAR tags."""
    from atomate2.vasp.jobs.core import StaticMaker
    from atomate2.vasp.sets.core import StaticSetGenerator

    return {"maker": StaticMaker(input_set_generator=StaticSetGenerator(user_incar_settings=tags))}


@pytest.mark.parametrize(
    ("label", "magmoms", "moments", "words"),
    [
        (SPIN, AFM, AFM, None),
        (
            SPIN,
            None,
            [5] * 4 + [0.6] * 4,
            "no magnetic moments of its own: labels start from the engine's, all parallel",
        ),
        (with_tags(), None, [5] * 4 + [0.6] * 4, "Ni 4×+5, O 4×+0.6"),
        (
            with_tags(MAGMOM={"Ni": 2, "O": 0}),
            None,
            [2] * 4 + [0] * 4,
            "labels start from the engine's",
        ),
        (with_tags(), AFM, AFM, None),
        (SPIN, {}, [0] * 8, "its magnetic moments are all 0"),
        (
            {"engine": "vasp-pbe"},
            AFM,
            AFM,
            "decide nothing: VASP PBE has no spin here; set `label: {spin: true}`",
        ),
        ({"engine": "vasp-pbe"}, None, None, None),
        (QE, None, [5] * 4 + [0.6] * 4, "labels start from the engine's, all parallel"),
        (QE, {}, [0] * 8, "all 0: Quantum ESPRESSO PBE starts and mostly stays without"),
        (QE, AFM, AFM, None),
        ({**QE, "spin": False}, AFM, AFM, "has no spin here; set `label: {spin: true}`"),
        (FORCEFIELD, AFM, AFM, "decide nothing: EMT"),
        (FORCEFIELD, None, None, None),
        (
            with_tags(MAGMOM=None),
            None,
            None,
            "the engine writes no MAGMOM: VASP starts every atom with 1",
        ),
    ],
)
def test_where_labels_start_is_explicit_and_told(tmp_path, label, magmoms, moments, words):
    cell, warnings = told(campaign(tmp_path, label, magmoms), tmp_path)
    found = moments_of(cell)
    assert found is None if moments is None else np.array_equal(found, moments)
    assert len(warnings) == (words is not None)
    assert words is None or (warnings[0].startswith("phase 'rock': ") and words in warnings[0])


def test_the_engines_table_goes_by_oxidation_state(tmp_path):
    label = {
        "engine": "vasp-pbe",
        "user_incar_settings": {"ISPIN": 2, "MAGMOM": {"Fe2+": 4, "Fe3+": -5, "O": 0.1}},
    }
    cell, warnings = told(campaign(tmp_path, label, cell=magnetite_like()), tmp_path)
    np.testing.assert_array_equal(moments_of(cell), [4, -5, -5] + [0.1] * 4)
    assert any("Fe2+ and Fe3+ are one species" in warning for warning in warnings)


def test_a_table_by_oxidation_state_needs_states_in_the_file(tmp_path):
    label = {
        "engine": "vasp-pbe",
        "user_incar_settings": {"ISPIN": 2, "MAGMOM": {"Fe2+": 4, "Fe3+": -5}},
    }
    cell = magnetite_like()
    cell.remove_oxidation_states()
    _, warnings = told(campaign(tmp_path, label, cell=cell), tmp_path)
    assert warnings[0].startswith(
        "phase 'rock': the engine's MAGMOM has Fe2+, Fe3+, the file has Fe: these atoms start"
    )


@pytest.mark.parametrize("tags", [{"MAGMOM": {"Ni": 3}}, {"MAGMOM": None}])
def test_an_engine_that_writes_other_moments_is_refused(tmp_path, tags):
    """pymatgen takes the table of `user_incar_settings` before the sites' moments: the
    antiferromagnet were none.
    """
    settings = campaign(tmp_path, with_tags(**tags), AFM)
    with pytest.raises(
        ValueError,
        match=r"phase 'rock': its magnetic moments are Ni 2×\+2 2×-2, O 4×0, but the engine",
    ):
        told(settings, tmp_path)


def test_check_tells_moments_and_what_is_not_carried(tmp_path):
    cell = crystal("Fm-3m", Lattice.cubic(4.17), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    cell.add_site_property("selective_dynamics", [[True, True, False]] * 8)
    cell.to_file(str(tmp_path / "POSCAR"), fmt="poscar")
    (tmp_path / "campaign.yaml").write_text(
        "name: x\nelements: [Na, Cl]\nbase_model: shipped:nacl-small.nequip.zip\n"
        "phases: [{name: B1, file: POSCAR, magmoms: [1, 1, -1, -1, 0, 0, 0, 0]}]\n"
        "train: {preset: small}\nlabel: {engine: vasp-pbe, spin: true}\n"
    )
    done = CliRunner().invoke(
        app, ["check", str(tmp_path / "campaign.yaml")], env={"COLUMNS": "200"}
    )
    assert done.exit_code == 0, done.output
    assert "Cl 4×0, Na 2×+1 2×-1" in done.output
    assert "MAGMOM = 2*1.0 2*-1.0 4*0.0" in done.output
    assert "phase 'B1': its selective dynamics are not carried: all atoms move" in done.output
