"""CP2K through atomate2's Maker and custodian: numbers, units, and failures that end as rows."""

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from ase.units import Bohr, Hartree
from monty.json import MontyDecoder, MontyEncoder
from pymatgen.core import Lattice, Structure

from entropy_flows.label import (
    EngineError,
    Label,
    LabelParams,
    Reason,
    engine_of,
    label_one,
    make_static_maker,
)
from entropy_flows.label.cp2k import data_folder, explicit_kpoints
from entropy_flows.label.cp2k_maker import KilledHandler, end_runs_of_this_folder
from entropy_flows.label.cp2k_output import moments_of_run, read_run
from entropy_flows.label.cp2k_validation import validate_cp2k_output

CHEAP = {"cutoff": 150, "rel_cutoff": 40, "kpoint_length": 1.0, "smearing": 0.3}
PROGRAM = shutil.which("cp2k.psmp")
needs_cp2k = pytest.mark.skipif(PROGRAM is None, reason="CP2K is not installed: make cp2k")
OUTPUT = """
 Electronic entropic energy:                                  -0.00100000000000
 ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:               -1.10000000000000
 STRESS| Analytical stress tensor [GPa]
 PROGRAM ENDED AT 2026
"""
ABORT = r"""
 *   ___                                                                       *
 *  /   \                                                                      *
 * [ABORT]                                                                     *
 *  \___/   SCF run NOT converged. To continue the calculation regardless,     *
 *    |     please set the keyword IGNORE_CONVERGENCE_FAILURE.                 *
 *  O/|                                                                        *
 * /| |                                                                        *
 * / \                                                       qs_scf.F:587      *
 *******************************************************************************
"""


@pytest.fixture(autouse=True)
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def data(in_tmp, monkeypatch):
    """A folder of CP2K's data with hydrogen and lithium alone."""
    folder = in_tmp / "data"
    folder.mkdir()
    rows = "1\n 1 0 0 1 1\n  0.5 1.0\n"
    folder.joinpath("BASIS_MOLOPT").write_text(
        f"H DZVP-MOLOPT-SR-GTH DZVP-MOLOPT-SR-GTH-q1\n{rows}"
        f"Li DZVP-MOLOPT-SR-GTH DZVP-MOLOPT-SR-GTH-q3\n{rows}"
    )
    folder.joinpath("GTH_POTENTIALS").write_text(
        "H GTH-PBE-q1 GTH-PBE\n 1\n 0.2 2 -4.1 0.7\n 0\nLi GTH-PBE-q1\n 1\n 0.4 1 -1.0\n 0\n"
    )
    monkeypatch.setenv("CP2K_DATA_DIR", str(folder))
    return folder


def hydrogen(scale=1.0, shift=0.0, strain=None):
    """Two hydrogen atoms in a sheared box, not at rest."""
    lattice = np.array([[3.4, 0, 0], [0.2, 3.5, 0], [0, 0.1, 3.6]]) * scale
    fractions = np.array([[0.02, 0.0, 0.01], [0.19, 0.1, 0.05]])
    positions = fractions @ lattice + np.array([[0, 0, 0], [shift, 0, 0]])
    if strain is not None:
        lattice = lattice @ (np.eye(3) + strain)
        positions = positions @ (np.eye(3) + strain)
    return Structure(Lattice(lattice), ["H", "H"], positions, coords_are_cartesian=True)


def maker(**changed):
    return make_static_maker(LabelParams(engine="cp2k-pbe", **{**CHEAP, **changed}))


def a_label(**changed):
    """A label as it is read of the task document."""
    return Label(
        **{
            "n_atoms": 2,
            "converged": True,
            "energy": -30.0,
            "free_energy": -30.0,
            "forces": np.zeros((2, 3)),
            "stress": np.eye(3),
            "provenance": {"version": "2023.1"},
            **changed,
        }
    )


# --- settings


@pytest.mark.parametrize("mesh", [(1, 1, 1), (2, 2, 3), (3, 4, 1), (5, 2, 2)])
def test_points_and_their_opposites_are_the_whole_mesh(mesh):
    points = explicit_kpoints(mesh)
    assert sum(points.kpts_weights) == np.prod(mesh)
    whole = set()
    for point, weight in zip(points.kpts, points.kpts_weights, strict=True):
        pair = {
            tuple((np.round(sign * np.array(point) * mesh).astype(int) % mesh).tolist())
            for sign in (1, -1)
        }
        assert len(pair) == weight
        whole |= pair
    assert len(whole) == np.prod(mesh)
    assert points.kpts[-1] == (0.0, 0.0, 0.0)  # pymatgen takes a list that begins so for Γ alone


def test_the_hash_is_of_what_decides_the_numbers(data):
    static_maker = maker()
    engine = engine_of(static_maker)
    assert (engine.name, engine.has_spin) == ("CP2K PBE", False)
    engine.check({"H": hydrogen()})
    revived = MontyDecoder().decode(MontyEncoder().encode(static_maker))
    same = [revived, maker(walltime=60), maker(run_cp2k_kwargs={"cp2k_cmd": "mpirun cp2k.psmp"})]
    assert {engine_of(one).hash for one in same} == {engine.hash}
    others = [maker(cutoff=160), maker(kpoint_length=2.0), maker(smearing=0.1)]
    others.append(maker(user_input_settings={"xc_functionals": "PBESOL"}))
    hashes = [engine_of(one).hash for one in (static_maker, *others)]
    with (data / "GTH_POTENTIALS").open("a") as file:
        file.write("# another version\n")
    hashes.append(engine_of(maker()).hash)
    assert len(set(hashes)) == len(hashes)


def test_inputs_of_one_cell_leave_no_trace_in_the_next(data):
    generator = maker().input_set_generator
    before = json.dumps(generator.as_dict(), default=str)
    text = str(generator.get_input_set(hydrogen()).cp2k_input)
    assert "BASIS_SET DZVP-MOLOPT-SR-GTH" in text
    assert "STRESS_TENSOR ANALYTICAL" in text
    assert "AUX_FIT" not in text
    assert json.dumps(generator.as_dict(), default=str) == before


def with_moments(moments):
    """Two hydrogen atoms far apart, each with its initial moment."""
    lattice = Lattice.tetragonal(2.6, 5.0)
    cell = Structure(lattice, ["H", "H"], [[0, 0, 0], [0.03, 0, 0.5]])
    cell.add_site_property("magmom", moments)
    return cell


def input_of(static_maker, cell):
    return str(static_maker.input_set_generator.get_input_set(cell).cp2k_input)


@pytest.mark.parametrize(
    ("moments", "multiplicity", "kinds"),
    [([1.0, 1.0], 3, {"1.0"}), ([1.0, -1.0], 1, {"1.0", "-1.0"}), ([0.4, 0.3], 1, {"0.4", "0.3"})],
)
def test_each_atom_starts_with_its_moment(data, moments, multiplicity, kinds):
    text = input_of(maker(spin=True), with_moments(moments))
    assert "UKS True" in text
    assert f"MULTIPLICITY {multiplicity}\n" in text
    assert set(re.findall(r"MAGNETIZATION (\S+)", text)) == kinds


def test_without_spin_moments_are_left_out(data):
    text = input_of(maker(), with_moments([1.0, -1.0]))
    assert "UKS False" in text
    assert set(re.findall(r"MAGNETIZATION (\S+)", text)) == {"0.0"}
    assert text == input_of(maker(), with_moments([0.0, 0.0]))


def test_moments_below_zero_are_refused_and_the_table_is_that_of_vasp(data):
    engine = engine_of(maker(spin=True))
    assert engine.has_spin
    assert engine.hash != engine_of(maker()).hash
    assert engine.moment_table()["Fe"] == 5
    assert engine_of(maker()).moment_table() is None
    with pytest.raises(EngineError, match=r"add up to -2 μ_B, .* turn all of them over"):
        engine.check({"seed": with_moments([-1.0, -1.0])})


def test_final_moments_are_those_of_the_last_population_analysis(in_tmp):
    head = "                     Mulliken Population Analysis\n\n #  Atom  Element  Kind\n"
    tables = [
        "       1     H        1         0.98     0.02    -0.01     0.96\n"
        f"       2     Fe       2         0.01     0.97     0.01    {last}\n"
        " # Total charge and spin        1.00     1.00     0.00    -0.00\n"
        "       9     H        1         0.98     0.02    -0.01     7.00\n"
        for last in (0.5, -0.96)
    ]
    (in_tmp / "cp2k.out").write_text("".join(head + table for table in tables))
    assert moments_of_run().tolist() == [0.96, -0.96]
    (in_tmp / "cp2k.out").write_text(head + "       1     H        1         0.98    -0.01\n")
    assert moments_of_run() is None


@pytest.mark.parametrize(
    ("element", "words"), [("He", "for He"), ("Li", "no DZVP-MOLOPT-SR-GTH with GTH-PBE for Li")]
)
def test_an_element_without_data_is_named_before_anything_runs(data, element, words):
    cell = Structure(Lattice.cubic(4), [element], [[0, 0, 0]])
    with pytest.raises(EngineError, match=words):
        engine_of(maker()).check({"seed": cell})
    with pytest.raises(EngineError, match=f"cannot run here: .*{words}"):
        label_one(maker(), cell)


def test_what_is_missing_is_named(data, monkeypatch, in_tmp):
    absent = maker(run_cp2k_kwargs={"cp2k_cmd": "no-such-cp2k"})
    assert "no 'no-such-cp2k'" in engine_of(absent).missing_here()
    with pytest.raises(EngineError, match="cannot run here"):
        engine_of(absent).check_here()
    with pytest.raises(EngineError, match="cannot run here"):
        label_one(absent, hydrogen(), "run")
    monkeypatch.setenv("CP2K_DATA_DIR", str(in_tmp / "nowhere"))
    with pytest.raises(EngineError, match=r"looked in .*nowhere.*cp2k-data"):
        maker()


# --- the output of a run


def test_zero_temperature_energy_of_the_output(in_tmp):
    (in_tmp / "cp2k.out").write_text(OUTPUT)
    label = validate_cp2k_output(a_label())
    assert label.converged
    assert label.energy == pytest.approx(label.free_energy + 0.0005 * Hartree)


@pytest.mark.parametrize(
    ("text", "reason", "words"),
    [
        (OUTPUT + " SCF run NOT converged", Reason.SCF_NOT_CONVERGED, "NOT converged"),
        (ABORT, Reason.SCF_NOT_CONVERGED, "IGNORE_CONVERGENCE_FAILURE"),
        ("exceeded requested execution time", Reason.WALLTIME, "execution time"),
        (OUTPUT.replace("PROGRAM ENDED", ""), Reason.CRASH, "stops short"),
        (OUTPUT.replace("[GPa]", "[bar]"), Reason.INCONSISTENT_OUTPUT, "GPa was expected"),
    ],
)
def test_an_output_that_says_otherwise_is_no_label(in_tmp, text, reason, words):
    with gzip.open(in_tmp / "cp2k.out.gz", "wt") as file:
        file.write(text)
    label = validate_cp2k_output(a_label())
    assert (label.converged, label.reason, label.energy) == (False, reason, None)
    assert words in label.evidence


@pytest.mark.parametrize(
    ("section", "converged"),
    [({"SCF": {"MIXING": {"ALPHA": 0.1}}}, True), ({"QS": {"EPS_DEFAULT": 1e-16}}, False)],
)
def test_custodian_may_change_the_mixing_alone(in_tmp, section, converged):
    (in_tmp / "cp2k.out").write_text(OUTPUT)
    action = {"_set": {"FORCE_EVAL": {"DFT": section}}}
    correction = {
        "errors": ["x"],
        "actions": [{"dict": "cp2k.inp", "action": action}],
        "handler": {"@class": "X"},
    }
    (in_tmp / "custodian.json").write_text(json.dumps([{"corrections": [correction]}]))
    label = validate_cp2k_output(a_label())
    assert label.converged is converged
    assert converged or "FORCE_EVAL.DFT.QS.EPS_DEFAULT" in label.evidence


def test_only_runs_of_the_folder_are_ended(in_tmp):
    """custodian ends CP2K by its name: every other on the machine would end with it."""
    folders = [in_tmp / name for name in ("mine", "other")]
    processes = []
    for folder in folders:
        folder.mkdir()
        processes.append(subprocess.Popen(["sleep", "60"], cwd=folder))
    try:
        end_runs_of_this_folder(str(folders[0]))
        processes[0].wait(timeout=10)
        assert processes[1].poll() is None
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_run_that_ends_without_a_word_was_killed(in_tmp):
    handler = KilledHandler()
    (in_tmp / "cp2k.out").write_text("  1 NoMix/Diag. 0.30E+00\n")
    assert handler.check()
    (in_tmp / "std_err.txt").write_text("SIGSEGV")
    assert not handler.check()
    (in_tmp / "std_err.txt").write_text("")
    (in_tmp / "cp2k.out").write_text(ABORT)
    assert not handler.check()


# --- CP2K itself


@needs_cp2k
@pytest.mark.slow
def test_numbers_are_cp2ks_and_the_kinds_are_recorded(in_tmp):
    label = label_one(maker(cutoff=300, rel_cutoff=60), hydrogen(), "run")
    assert label.converged, label.evidence
    with gzip.open("run/cp2k.out.gz", "rt") as file:
        text = file.read()
    energy = float(text.split("energy [a.u.]:")[1].split()[0])
    assert label.free_energy == pytest.approx(energy * Hartree, abs=1e-6)
    rows = text.split("ATOMIC FORCES in [a.u.]")[1].split("Z\n")[1].splitlines()[:2]
    forces = [[float(x) for x in row.split()[3:]] for row in rows]
    np.testing.assert_allclose(label.forces, np.array(forces) * Hartree / Bohr, atol=1e-6)
    assert label.provenance["version"] in text
    assert label.provenance["kinds"]["H"]["potential"].startswith("GTH-PBE")
    assert label.provenance["engine_settings"]["data"].keys() == {"BASIS_MOLOPT", "GTH_POTENTIALS"}
    assert data_folder().is_dir()


@needs_cp2k
@pytest.mark.slow
def test_forces_and_stress_are_derivatives_of_the_free_energy():
    """One displacement and one strain, by central differences: sign and unit."""
    static_maker = maker(cutoff=300, rel_cutoff=60)
    label = label_one(static_maker, hydrogen(), "here")
    step = 0.02
    energies = [
        label_one(static_maker, hydrogen(shift=x), f"x{x}").free_energy for x in (-step, step)
    ]
    force = -(energies[1] - energies[0]) / (2 * step)
    assert force == pytest.approx(label.forces[1, 0], abs=0.02)
    assert abs(force) > 0.5
    strain = np.array([[0.4, 0.1, 0], [0.1, -0.2, 0], [0, 0, 0.3]])
    size = 0.01
    energies = [
        label_one(static_maker, hydrogen(strain=sign * size * strain), f"s{sign}").free_energy
        for sign in (-1, 1)
    ]
    slope = (energies[1] - energies[0]) / (2 * size) / hydrogen().volume
    assert slope == pytest.approx((label.stress * strain).sum(), abs=3e-3)
    assert abs(slope) > 0.01


@needs_cp2k
@pytest.mark.slow
@pytest.mark.parametrize(("moments", "total"), [([1.0, 1.0], 2.0), ([1.0, -1.0], 0.0)])
def test_two_orders_are_two_labels_and_forces_are_derivatives_of_each(moments, total):
    """Hydrogen atoms too far apart for a bond, parallel and antiparallel."""
    static_maker = maker(spin=True, cutoff=300, rel_cutoff=60, kpoint_length=3, smearing=0.1)
    label = label_one(static_maker, with_moments(moments), "here")
    assert label.converged, label.evidence
    assert np.sign(label.magmoms).tolist() == moments
    assert np.abs(label.magmoms).min() > 0.5
    assert label.total_magmom == pytest.approx(total, abs=0.01)
    step = 0.02
    energies = []
    for shift in (-step, step):
        cell = with_moments(moments)
        cell.translate_sites([1], [0, 0, shift], frac_coords=False)
        energies.append(label_one(static_maker, cell, f"z{shift}").free_energy)
    force = -(energies[1] - energies[0]) / (2 * step)
    assert force == pytest.approx(label.forces[1, 2], abs=0.02)


@needs_cp2k
@pytest.mark.slow
def test_failures_have_their_reason():
    scf = {"override_default_params": {"FORCE_EVAL": {"DFT": {"SCF": {"MAX_SCF": 2}}}}}
    label = label_one(maker(user_input_settings=scf), hydrogen(), "scf")
    assert (label.converged, label.reason) == (False, Reason.SCF_NOT_CONVERGED)
    label = label_one(maker(walltime=1e-3), hydrogen(), "time")
    assert (label.converged, label.reason) == (False, Reason.WALLTIME)


@needs_cp2k
@pytest.mark.slow
def test_a_killed_run_is_taken_up_again_and_has_the_same_numbers(in_tmp):
    static_maker = maker(cutoff=300, rel_cutoff=60)
    whole = label_one(static_maker, hydrogen(), "whole")

    def kill_once():
        output = in_tmp / "killed" / "cp2k.out"
        while not (output.is_file() and "Diag." in output.read_text(errors="replace")):
            time.sleep(0.05)
        for process in Path("/proc").glob("[0-9]*"):
            try:
                is_cp2k = "cp2k" in (process / "comm").read_text()
                if is_cp2k and Path(os.readlink(process / "cwd")) == in_tmp / "killed":
                    os.kill(int(process.name), signal.SIGKILL)
                    return
            except OSError:
                continue

    thread = threading.Thread(target=kill_once, daemon=True)
    thread.start()
    label = label_one(static_maker, hydrogen(), "killed")
    assert label.converged, label.evidence
    assert label.provenance["custodian"] == ["KilledHandler"]
    assert label.free_energy == pytest.approx(whole.free_energy, abs=1e-4)
    np.testing.assert_allclose(label.forces, whole.forces, atol=1e-3)
    assert read_run("killed").has_ended
