import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import bulk

import entropy_flows
from entropy_flows.digest import file_sha256
from entropy_flows.potentials import load_calculator, model_elements
from entropy_flows.potentials.nequip import local_package

SI_SMALL = Path(entropy_flows.__file__).parent / "models" / "si-small.nequip.zip"


@pytest.fixture
def silicon():
    atoms = bulk("Si", cubic=True)
    atoms.positions += np.random.default_rng(0).normal(0.0, 0.1, atoms.positions.shape)
    return atoms


def predict(atoms, calculator):
    atoms = atoms.copy()
    atoms.calc = calculator
    return atoms.get_potential_energy() / len(atoms), atoms.get_forces(), atoms.get_stress()


def test_nequip_and_sevennet_alternate_in_one_process(silicon):
    pytest.importorskip("sevenn")
    small, teacher = load_calculator(SI_SMALL), load_calculator("SevenNet-0")
    first = [predict(silicon, calculator) for calculator in (small, teacher)]
    second = [predict(silicon, load_calculator(name)) for name in (str(SI_SMALL), "7net-0")]

    assert torch.get_default_dtype() == torch.float32
    for a, b in zip(first, second, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    energy_error = first[0][0] - first[1][0]
    assert abs(energy_error) < 0.05  # eV/atom: the small model was trained on the teacher's labels
    assert np.abs(first[0][1] - first[1][1]).max() < 0.5
    assert all(x.dtype == np.float32 or x.dtype == np.float64 for x in first[0][1:])


def test_forces_are_the_gradient_of_the_energy(silicon):
    calculator = load_calculator(SI_SMALL)
    _, forces, _ = predict(silicon, calculator)
    h = 1e-2  # the model computes in single precision
    energies = []
    for sign in (1, -1):
        moved = silicon.copy()
        moved.positions[2, 1] += sign * h
        energies.append(predict(moved, calculator)[0] * len(moved))

    assert -(energies[0] - energies[1]) / (2 * h) == pytest.approx(forces[2, 1], abs=1e-2)


def test_silicon_repels_at_short_distance():
    calculator = load_calculator(SI_SMALL)
    bonds = np.arange(2.3, 1.2, -0.1)
    energies = [predict(bulk("Si", a=bond * 4 / np.sqrt(3)), calculator)[0] for bond in bonds]

    assert (np.diff(energies) > 0).all()


def test_a_dotted_name_is_an_ase_calculator():
    energy, *_ = predict(bulk("Cu"), load_calculator("ase.calculators.emt.EMT"))

    assert abs(energy) < 0.1


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("SuperNet", ValueError, "'SuperNet' is not known.*SevenNet-0.*CHGNet"),
        ("model.bin", ValueError, "'model.bin' is not known"),
        ("no.such.Calculator", ValueError, "'no.such.Calculator' cannot be imported"),
        ("ase.atoms.Atoms", ValueError, "expected an ASE calculator"),
        (
            "/nowhere/model.nequip.zip",
            FileNotFoundError,
            "/nowhere/model.nequip.zip does not exist",
        ),
        ("/nowhere/model.nequip.pt2", FileNotFoundError, "does not exist"),
    ],
)
def test_wrong_names_say_what_is_expected(name, error, message):
    with pytest.raises(error, match=message):
        load_calculator(name)


def test_a_published_model_offline_says_what_to_do(monkeypatch):
    import requests

    def refuse(*_, **__):
        raise requests.ConnectionError("no route")

    monkeypatch.setattr(requests.Session, "request", refuse)
    with pytest.raises(
        ConnectionError, match=r"nequip-compile nequip\.net:mir-group/Allegro-OAM-L:0.1"
    ):
        local_package("nequip.net:mir-group/Allegro-OAM-L:0.1")


def test_elements_come_from_the_package():
    assert model_elements(SI_SMALL) == ("Si",)
    elements = model_elements("SevenNet-0")
    assert elements is not None
    assert {"H", "Si", "Pu"} < set(elements)
    assert "Rn" not in elements


def test_a_zip_that_is_no_package_is_named(tmp_path):
    path = tmp_path / "other.nequip.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "b")

    with pytest.raises(ValueError, match="is not a NequIP package"):
        model_elements(path)


def test_a_damaged_package_is_named(tmp_path):
    path = tmp_path / "other.nequip.zip"
    path.write_bytes(SI_SMALL.read_bytes()[:1000])
    for load in (model_elements, load_calculator):
        with pytest.raises(
            ValueError, match=r"other\.nequip\.zip is not a NequIP package: File is not a zip file"
        ):
            load(path)


def test_checksum(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")

    assert file_sha256(tmp_path / "file") == hashlib.sha256(b"abc").hexdigest()


def test_importing_loads_no_machine_learning_package():
    code = (
        "import sys, entropy_flows.potentials; print(['torch'] if 'torch' in sys.modules else [])\n"
        "import entropy_flows.train.run, entropy_flows.evaluate.errors\n"
        "print([m for m in ('nequip', 'sevenn', 'atomate2', 'lightning') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert result.stdout.split() == ["[]", "[]"]
