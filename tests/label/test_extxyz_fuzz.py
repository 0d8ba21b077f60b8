"""Five hundred damaged files: each frame is read, or refused in one short line."""

import pytest
from ase.io import write
from cells import Spring, rattled
from damage import Damage, read_damaged

from entropy_flows.label.existing import read_extxyz

FILES = 500
DAMAGE = Damage(
    names=("energy", "forces", "stress", "Lattice", "Properties", "pbc", "species", "pos"),
    words=(
        "********",
        "None",
        "nan",
        "-0.431D+02",
        "1e999",
        "-",
        '"',
        "{",
        "T",
        "0",
        "-1",
        "9" * 30,
        "Si1",
        "X",
    ),
    lines=("8\n", "-2\n", "1000000000000\n", "2.0\n", "\n", "end of file\n"),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    frames = []
    for seed in range(4):
        atoms = rattled("Si", 1, stdev=0.1, seed=seed)
        atoms.calc = Spring()
        atoms.get_stress()
        frames.append(atoms)
    path = tmp_path_factory.mktemp("fuzz") / "whole.xyz"
    write(path, frames, format="extxyz")
    return path.read_text()


def test_five_hundred_damaged_files(tmp_path, whole):
    outcome = read_damaged(tmp_path / "damaged.xyz", whole, DAMAGE, FILES, read_extxyz)
    assert outcome.read > FILES
    assert len(outcome.longest) < 300
    assert "\n" not in outcome.longest
    assert outcome.slowest < 1.0
