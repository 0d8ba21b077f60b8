"""Antiferromagnetic NiO from seed to label and database: each atom keeps its own moment."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from pair import PairPotential
from pymatgen.core import Structure
from pymatgen.io.vasp import Incar, Poscar
from standin_files import final_moments

from entropy_flows.entropy import DatasetParams
from entropy_flows.explore import Condition, ExploreParams, Run, explore
from entropy_flows.fingerprints import GOMParams
from entropy_flows.formats import labelled, write_extxyz, write_mace
from entropy_flows.geometry import to_atoms, to_structure
from entropy_flows.jobs import IterationContext, LabelMaker
from entropy_flows.jobs.explore import describe, pack, snapshots
from entropy_flows.label import engine_of, label_one
from entropy_flows.label.existing import read_files
from entropy_flows.label.own_runs import is_run_of
from entropy_flows.launch.seeds import campaign_seeds
from entropy_flows.moments import moments_of
from entropy_flows.potentials import OneByOne
from entropy_flows.report.label_moments import moment_rows
from entropy_flows.schemas import ExploreDoc, load_campaign
from entropy_flows.store import CampaignStore, Entry, job_store

EXAMPLES = Path(__file__).parents[2] / "examples"
SPIN = {"spin": True, "hubbard_u": {"Ni": 6.2}}
DATASET = DatasetParams(fingerprint=GOMParams(cutoff=3.0, natx=4, elements=("Ni", "O")))


def interleaved():
    """Make two formula units, O first and in turns, displaced, each atom with its own moment."""
    lattice = [[4.2, 0, 0], [0.1, 4.2, 0], [0, -0.2, 4.3]]
    coords = [
        [0.51, 0, 0],
        [0, 0.01, 0],
        [0, 0, 0.5],
        [0.5, 0.5, 0.02],
        [0.5, 0.01, 0.5],
        [0, 0.5, 0.49],
    ]
    cell = Structure(lattice, ["O", "Ni", "O", "Ni", "Ni", "Ni"], coords)
    cell.add_site_property("magmom", [0.1, 2.0, -0.2, -2.0, 1.5, -1.5])
    return cell


def left_handed():
    cell = interleaved()
    swapped = Structure(
        cell.lattice.matrix[[1, 0, 2]], cell.species, cell.frac_coords[:, [1, 0, 2]]
    )
    swapped.add_site_property("magmom", cell.site_properties["magmom"])
    return swapped


def run_inputs(folder):
    """Cell of POSCAR, and MAGMOM of its atoms, of a run that has ended."""
    with gzip.open(folder / "INCAR.gz", "rt") as file:
        incar = Incar.from_str(file.read())
    with gzip.open(folder / "POSCAR.gz", "rt") as file:
        cell = Poscar.from_str(file.read()).structure
    return cell, incar


def moment_at(cell, moments, position):
    """Moment of the atom of a periodic cell that is at a place (Å)."""
    frac = cell.lattice.get_fractional_coords(position)
    off = frac - cell.frac_coords
    return moments[
        int(np.argmin(np.linalg.norm((off - np.round(off)) @ cell.lattice.matrix, axis=1)))
    ]


@pytest.mark.parametrize("cell", [interleaved, left_handed])
def test_moments_go_with_their_atoms_into_vasp_and_back(vasp, tmp_path, cell):
    structure = cell()
    label = label_one(vasp(options=SPIN), structure)
    assert label.converged, label.evidence
    assert label.provenance["engine"] == "VASP PBE+U"
    calculated, incar = run_inputs(tmp_path)
    assert (incar["LDAUU"], incar["LDAUL"]) == ([6.2, 0], [2, 0])
    turn = np.sign(np.linalg.det(structure.lattice.matrix))  # VASP has right-handed cells
    started = [moment_at(calculated, incar["MAGMOM"], turn * site.coords) for site in structure]
    np.testing.assert_allclose(started, moments_of(structure))
    ended = final_moments(incar["MAGMOM"])
    expected = [moment_at(calculated, ended, turn * site.coords) for site in structure]
    np.testing.assert_allclose(label.magmoms, expected, atol=1e-9)
    assert label.total_magmom == pytest.approx(sum(ended), abs=1e-6)
    assert len(set(label.magmoms)) == 6
    (frame,) = read_files(tmp_path)  # as a run that somebody else has made
    assert frame.defect is None
    np.testing.assert_allclose(moments_of(frame.structure), incar["MAGMOM"])
    np.testing.assert_allclose(frame.label.magmoms, ended, atol=1e-9)
    assert frame.label.total_magmom == pytest.approx(sum(ended), abs=1e-6)
    assert is_run_of(frame, vasp(options=SPIN))
    assert not is_run_of(frame, vasp(options={"spin": True, "hubbard_u": {"Ni": 5.0}}))
    assert not is_run_of(frame, vasp())


def test_without_spin_there_is_nothing_to_keep(vasp, tmp_path):
    label = label_one(vasp(), interleaved())
    assert label.converged, label.evidence
    assert (label.magmoms, label.total_magmom) == (None, None)
    assert "MAGMOM" not in run_inputs(tmp_path)[1]


@pytest.fixture
def afm():
    """Make the example's seed, a primitive cell of it, and a batch of a few MD steps."""
    campaign = load_campaign(EXAMPLES / "nio_vasp.yaml")
    small = campaign.phases[0].model_copy(update={"supercell": (1, 1, 1)})
    campaign = campaign.model_copy(update={"phases": (small,)})
    seed = campaign_seeds(campaign, EXAMPLES)["afm-ii"].cell
    run = Run(0, Condition("afm-ii", 300.0, 0.0, 0.0), "config", 1)
    params = ExploreParams(steps=4, warm_up=0, ramp=0, snapshot_every=2, entropy_weights=(0.0,))
    (trajectory,) = explore([run], [to_atoms(seed)], OneByOne(PairPotential()), None, params)
    doc = ExploreDoc(
        iteration=1,
        batch=0,
        runs=[describe(run, trajectory)],
        equations_of_state={},
        trajectories=[pack(trajectory)],
    )
    return campaign, seed, ExploreDoc.model_validate(doc.model_dump(mode="json"))


@pytest.mark.parametrize(
    ("engine", "options", "engine_name"),
    [
        ("vasp-pbe", SPIN, "VASP PBE+U"),
        ("vasp-matpes-pbe", {}, "VASP PBE as MatPES"),
        ("vasp-matpes-r2scan", {"hubbard_u": True}, "VASP r2SCAN+U as MatPES"),
        ("vasp-mp", {}, "VASP PBE+U as MP"),
    ],
)
def test_a_snapshot_is_antiferromagnetic_in_ledger_label_and_export(
    afm, vasp, database, tmp_path, engine, options, engine_name
):
    campaign, seed, doc = afm
    store = CampaignStore(database, campaign.name)
    store.create(campaign)
    cells = [to_structure(atoms) for _, _, atoms, _ in snapshots(doc)]
    assert len(cells) == 2
    origin = {"phase": "afm-ii", "temperature": 300.0, "k": 0.0, "pressure": 0.0}
    flipped = cells[0].copy()
    flipped.add_site_property("magmom", [2.0, 2.0, 0.0, 0.0])  # the same positions, ferromagnetic
    entries = [
        Entry(f"001/explore/00000/{n:05d}", cell, np.ones((4, 12)), 0.5, origin)
        for n, cell in enumerate([*cells, flipped])
    ]
    ledger = store.ledger(DATASET)
    ledger.append_accepted(1, "select", entries)
    ids = [entry["_id"] for entry in ledger.entries()]
    store.record(1, **{"label.requested": len(ids)})
    stored = [moments_of(Structure.from_dict(entry["structure"])) for entry in ledger.entries()]
    for moments in stored[:2]:
        np.testing.assert_array_equal(moments, moments_of(seed))
    # Without it emmet looks for eigenvalues, which the stand-in does not write.
    maker = vasp(engine, {"IBRION": -1}, options)
    with job_store() as outputs:
        labels = LabelMaker(static_maker=maker)
        context = IterationContext(campaign.name, 1, engine_hash=engine_of(maker).hash)
        done = labels.make(context, batch=0, structures=ids).run(store=outputs).output
    rows = list(store.labels())
    assert (done.labelled, done.failed) == (3, 0), [row.get("evidence") for row in rows]
    assert len({row["content"] for row in rows}) == 3  # none is a copy of another
    assert not any("copied_from" in row for row in rows)
    for number, (row, moments) in enumerate(zip(rows, stored, strict=True)):
        _, incar = run_inputs(tmp_path / f"label_{number:04d}")
        np.testing.assert_array_equal(
            incar["MAGMOM"], moments
        )  # Ni Ni O O in cell and POSCAR alike
        np.testing.assert_allclose(row["magmoms"], final_moments(moments))
        assert row["total_magmom"] == pytest.approx(sum(final_moments(moments)))
    frames = store.frames()
    write_extxyz(frames, tmp_path / "out.extxyz")
    for atoms, moments in zip(read(tmp_path / "out.extxyz", ":"), stored, strict=True):
        np.testing.assert_allclose(atoms.get_initial_magnetic_moments(), moments)
        np.testing.assert_allclose(atoms.get_magnetic_moments(), final_moments(moments))
        assert atoms.get_magnetic_moment() == pytest.approx(sum(final_moments(moments)))
    write_mace([labelled(atoms) for atoms in frames], tmp_path / "mace.extxyz")
    for atoms, moments in zip(read(tmp_path / "mace.extxyz", ":"), stored, strict=True):
        np.testing.assert_allclose(atoms.arrays["initial_magmoms"], moments)
        np.testing.assert_allclose(atoms.arrays["REF_magmoms"], final_moments(moments))
    for name in ("out.extxyz", "mace.extxyz"):
        for frame, moments in zip(read_files(tmp_path / name), stored, strict=True):
            assert frame.defect is None
            np.testing.assert_allclose(moments_of(frame.structure), moments)
            np.testing.assert_allclose(frame.label.magmoms, final_moments(moments))
            assert frame.label.total_magmom == pytest.approx(sum(final_moments(moments)))
    rows_of_report = moment_rows(frames)
    assert [row[:3] for row in rows_of_report] == [["afm-ii", "Ni", "6"], ["afm-ii", "O", "6"]]
    assert rows_of_report[0][3:5] == ["2.00", "1.60"]
    assert {row["provenance"]["engine"] for row in rows} == {engine_name}
    assert {"LDAUU" in run_inputs(tmp_path / f"label_{n:04d}")[1] for n in range(3)} == {
        "+U" in engine_name
    }
    copied = store.copied_labels({"cell": cells[0]}, engine_of(maker).hash)
    assert copied["cell"]["magmoms"] == rows[0]["magmoms"]
