"""Five hundred damaged files: every frame is read or told in one short line, at once, and nothing is raised."""

import time

import numpy as np
import pytest
from ase.io import write
from cells import Spring, rattled
from damage import Damage

from entropy_flows.label.existing import read_extxyz

FILES = 500
DAMAGE = Damage(
    names=("energy", "forces", "stress", "Lattice", "Properties", "pbc", "species", "pos"),
    words=("********", "None", "nan", "-0.431D+02", "1e999", "-", '"', "{", "T", "0", "-1", "9" * 30, "Si1", "X"),
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
    return path.read_text().splitlines(keepends=True)


def test_five_hundred_damaged_files(tmp_path, whole):
    rng = np.random.default_rng(18)
    path = tmp_path / "damaged.xyz"
    longest = ""
    slowest = 0.0
    read = 0
    refused = 0
    for _ in range(FILES):
        path.write_text(DAMAGE.of(whole, rng))
        start = time.process_time()
        try:
            frames = list(read_extxyz(path))
        except ValueError as err:
            refused += 1
            messages = [str(err)]
        else:
            messages = [frame.defect for frame in frames if frame.defect]
            read += sum(frame.defect is None for frame in frames)
            assert all(frame.label is not None for frame in frames if frame.defect is None)
        slowest = max(slowest, time.process_time() - start)
        longest = max(longest, *messages, key=len) if messages else longest
    print(
        f"{FILES} files: {read} frames read, {refused} files refused, slowest {slowest:.3f} s, longest {len(longest)}"
    )
    assert read > FILES
    assert len(longest) < 300
    assert "\n" not in longest
    assert slowest < 1.0
