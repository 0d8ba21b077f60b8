"""A run of VASP as frames to choose from: every step, also of a file that was cut off."""

import numpy as np
import pytest
from ase.io import read
from test_standin_md import MD, run_vasp

from entropy_flows.frames.locate import locate_files
from entropy_flows.frames.reader import count_frames, read_frames


@pytest.fixture
def md(tmp_path, monkeypatch):
    return run_vasp(tmp_path / "md", monkeypatch, **MD)


def test_every_step_is_a_frame_with_its_label(md):
    steps = read(md, ":")
    assert count_frames(md) == len(steps) == 5
    bare = list(read_frames(md))
    labelled = list(read_frames(md, with_labels=True))
    for atoms, frame, twin in zip(steps, bare, labelled, strict=True):
        np.testing.assert_allclose(frame.atoms.positions, atoms.positions, atol=1e-7)
        np.testing.assert_allclose(frame.atoms.cell[:], atoms.cell[:], atol=1e-9)
        assert frame.atoms.calc is None
        assert twin.atoms.calc.results["free_energy"] == pytest.approx(
            atoms.calc.results["free_energy"], abs=1e-9
        )
        np.testing.assert_allclose(twin.atoms.get_forces(), atoms.get_forces(), atol=1e-9)
        np.testing.assert_allclose(twin.atoms.get_stress(), atoms.get_stress(), atol=1e-9)


def test_steps_before_the_end_of_a_cut_file_count(md):
    text = md.read_text()
    md.write_text(text[: text.rindex("<calculation>") + 100])
    frames = list(read_frames(md))
    assert [frame.defect is None for frame in frames] == [True] * 4 + [False]
    assert "damaged or cut off here" in frames[-1].defect


def test_a_folder_of_runs_has_one_file_of_each(md):
    assert [path.name for path in locate_files([md.parent])] == ["vasprun.xml"]
