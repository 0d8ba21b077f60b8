"""Cell and label of one ionic step: VASP moves the ions once more after its forces."""

import bz2
import gzip
import json
import lzma
import shutil

import numpy as np
import pytest
import standin
from ase.io import read
from cells import rattled
from monty.json import jsanitize
from pair import PairPotential

from entropy_flows.geometry import to_atoms, to_structure
from entropy_flows.jobs.import_keys import content_key
from entropy_flows.label import LabelParams, make_static_maker, write_inputs
from entropy_flows.label.existing import StepRule, is_run_of, read_files, read_tasks
from entropy_flows.label.ionic import NO_AB_INITIO
from entropy_flows.label.tasks import frame_of_task

ALL = StepRule.parse("all")
MD = {"NSW": 5, "IBRION": 0, "POTIM": 2.0, "TEBEG": 1500}


def run_vasp(folder, monkeypatch, seed=0, **incar):
    """A run of the stand-in in a folder; its vasprun.xml."""
    maker = make_static_maker(LabelParams(kpoint_length=10, user_incar_settings=incar))
    write_inputs(to_structure(rattled("Si", repeat=1, stdev=0.15, seed=seed)), maker, folder)
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        standin.main()
    return folder / "vasprun.xml"


@pytest.fixture
def md(tmp_path, monkeypatch):
    return run_vasp(tmp_path / "md", monkeypatch, **MD)


def assert_is_the_engines(frame):
    """The label is what the engine behind the stand-in gives for this very cell."""
    atoms = to_atoms(frame.structure)
    atoms.calc = PairPotential()
    assert frame.label.free_energy == pytest.approx(atoms.get_potential_energy(), abs=2e-6)
    np.testing.assert_allclose(frame.label.forces, atoms.get_forces(), atol=2e-6)
    if frame.label.stress is not None:
        np.testing.assert_allclose(frame.label.stress, atoms.get_stress(voigt=False), atol=2e-6)


def assert_is_printed(frame, printed):
    """The label has the digits of vasprun.xml, as ASE reads them."""
    np.testing.assert_allclose(frame.structure.lattice.matrix, printed.cell.array, atol=1e-9)
    np.testing.assert_allclose(frame.structure.cart_coords, printed.positions, atol=1e-7)
    np.testing.assert_allclose(frame.label.forces, printed.get_forces(), atol=1e-9)
    np.testing.assert_allclose(frame.label.stress, printed.get_stress(voigt=False), atol=1e-9)
    assert frame.label.free_energy == pytest.approx(printed.calc.results["free_energy"], abs=1e-9)
    assert frame.label.energy == pytest.approx(printed.calc.results["energy"], abs=1e-8)


@pytest.mark.parametrize(
    "tags",
    [MD, {**MD, "ISIF": 3, "MDALGO": 3}, {"NSW": 4, "IBRION": 2, "ISIF": 3, "EDIFFG": -0.001}],
    ids=["md", "md with a moving cell", "relaxation"],
)
def test_every_step_of_a_file(tmp_path, monkeypatch, tags):
    path = run_vasp(tmp_path / "run", monkeypatch, **tags)
    (path.parent / "OUTCAR").unlink()
    (path.parent / "OSZICAR").unlink()
    printed = read(path, ":")
    frames = list(read_files(path.parent, ALL))
    assert len(frames) == len(printed) == tags["NSW"]
    for number, (frame, atoms) in enumerate(zip(frames, printed, strict=True), 1):
        assert frame.defect is None
        assert (frame.source["step"], frame.location) == (number, f"vasprun.xml step {number}")
        assert_is_printed(frame, atoms)
        assert_is_the_engines(frame)
    assert len({content_key(frame) for frame in frames}) == len(frames)
    (last,) = read_files(path.parent)
    assert content_key(last) == content_key(frames[-1])
    final = to_atoms(frames[-1].structure).get_scaled_positions()
    moved = read(path.parent / "CONTCAR", format="vasp").get_scaled_positions() - final
    assert np.abs(moved - np.round(moved)).max() > 1e-3  # or the cell at the end would do


@pytest.mark.parametrize("form", ["document", "json"])
@pytest.mark.parametrize("isif", [2, 3])
def test_every_step_of_a_task_document(tmp_path, monkeypatch, form, isif):
    from atomate2.vasp.jobs.base import get_vasp_task_document

    path = run_vasp(tmp_path / "run", monkeypatch, **{**MD, "ISIF": isif})
    task = get_vasp_task_document(path.parent)
    task = (
        task.model_dump()
        if form == "document"
        else json.loads(json.dumps(jsanitize(task, strict=True)))
    )
    printed = read(path, ":")
    frames = list(read_tasks([{"uuid": "one", "index": 1, "output": task}], "theirs", ALL))
    assert [frame.source["step"] for frame in frames] == [1, 2, 3, 4, 5]
    for frame, atoms in zip(frames, printed, strict=True):
        assert_is_printed(frame, atoms)
        assert_is_the_engines(frame)
    (last,) = read_tasks([{"uuid": "one", "index": 1, "output": task}], "theirs")
    assert content_key(last) == content_key(frames[-1])
    (other,) = read_files(path)
    assert content_key(other) == content_key(last)


def test_a_document_that_kept_no_steps_of_a_run_that_moved(tmp_path, monkeypatch):
    """atomate2's own MD Maker stores its steps as a trajectory, elsewhere."""
    from emmet.core.tasks import TaskDoc

    path = run_vasp(tmp_path / "run", monkeypatch, **MD)
    task = TaskDoc.from_directory(path.parent, store_trajectory="partial").model_dump()
    frame = frame_of_task(task, "one", {})
    assert "final cell has moved on (NSW 5); import the run's vasprun.xml" in frame.defect


@pytest.mark.parametrize(
    ("rule", "numbers"), [("last", [5]), ("every:2", [2, 4]), ("every:5", [5]), ("every:6", [])]
)
def test_which_steps(md, rule, numbers):
    frames = list(read_files(md, StepRule.parse(rule)))
    if numbers:
        assert [frame.source["step"] for frame in frames] == numbers
    else:
        assert [frame.defect for frame in frames] == ["5 ionic steps in it, none of which is a 6th"]


@pytest.mark.parametrize(
    "text", ["first", "every:0", "every:-1", "every:", "every:1.5", "every:2:3", "ALL", ""]
)
def test_a_rule_that_is_none(text):
    with pytest.raises(ValueError, match=f"steps '{text}': expected last, all, or every:N"):
        StepRule.parse(text)


def test_a_file_that_was_cut_off(md):
    text = md.read_text()
    md.write_text(text[: text.rindex("<calculation>") + 400])
    (whole,) = read_files(md)
    assert whole.defect == "cut off, with 4 whole ionic steps of 5 in it; --steps all imports them"
    *frames, rest = read_files(md, ALL)
    assert [frame.source["step"] for frame in frames] == [1, 2, 3, 4]
    for frame in frames:
        assert_is_the_engines(frame)
    assert rest.defect == "cut off, with 4 whole ionic steps of 5 in it"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (
            lambda t: t[: t.index("<calculation>") + 200],
            "cut off, with 0 whole ionic steps of 5 in it",
        ),
        (lambda t: t[: t.index("</parameters>")], "cut off or damaged before its first ionic step"),
        (lambda t: "", "no vasprun.xml: expected <modeling>, got nothing"),
        (
            lambda t: '<?xml version="1.0"?>\n<phonopy> </phonopy>',
            "expected <modeling>, got <phonopy>",
        ),
        (lambda t: t.replace("</calculation>", "</calc>", 2), "damaged: XMLSyntaxError"),
        (lambda t: t.replace("</calculation>", "</calculation>\0", 3), "damaged: XMLSyntaxError"),
    ],
)
def test_files_that_are_no_whole_run(md, spoil, reason):
    md.write_text(spoil(md.read_text()))
    *_, last = read_files(md, ALL)
    assert reason in last.defect
    assert "\n" not in last.defect


def test_one_bad_step_costs_no_other(md):
    blocks = md.read_text().split("<calculation>")
    blocks[2] = blocks[2].replace(
        '<varray name="forces" >\n    <v>', '<varray name="forces" >\n    <v> ******** ', 1
    )
    head, rest = blocks[4].split('<varray name="positions" >', 1)
    blocks[4] = head + '<varray name="positions" >' + rest.replace("<v>", "<v> x", 1)
    md.write_text("<calculation>".join(blocks))
    frames = list(read_files(md, ALL))
    assert [frame.defect is None for frame in frames] == [True, False, True, False, True]
    assert all(frame.defect for frame in (frames[1], frames[3]))
    for frame in (frames[0], frames[2], frames[4]):
        assert_is_the_engines(frame)


def test_convergence_is_told_step_by_step(tmp_path, monkeypatch):
    monkeypatch.setenv("STANDIN_UNCONVERGED_STEP", "3")
    path = run_vasp(tmp_path / "run", monkeypatch, **MD, NELM=12)
    frames = list(read_files(path, ALL))
    assert [frame.defect is None for frame in frames] == [True, True, False, True, True]
    assert "VASP stopped after 12 electronic steps (NELM 12) short of EDIFF" in frames[2].defect
    assert len(list(read_files(path))) == 1


def test_steps_of_vasps_own_force_field_are_no_labels(md):
    """A run that learns predicts some steps, which stand outside of <calculation>."""
    text = md.read_text().replace(
        "</incar>", ' <i type="logical" name="ML_LMLFF"> T  </i>\n </incar>'
    )
    start = text.index("<calculation>")
    end = text.index('<structure name="finalpos"')
    predicted = text[text.index("<structure>") : text.index("</calculation>")]
    head, steps, tail = text[:start], text[start:end], text[end:]
    md.write_text(
        head + predicted + steps.replace("</calculation>", "</calculation>" + predicted) + tail
    )
    frames = list(read_files(md, ALL))
    assert [frame.source["step"] for frame in frames] == [1, 2, 3, 4, 5]
    for frame in frames:
        assert_is_the_engines(frame)
    md.write_text(head + 5 * predicted + tail)
    assert [frame.defect for frame in read_files(md)] == [NO_AB_INITIO]
    without = (
        steps[: steps.index("<scstep>")]
        + steps[steps.index("<structure>") : steps.index("</calculation>")]
    )
    md.write_text(head + without + "</calculation>" + tail)
    assert [frame.defect for frame in read_files(md, ALL)] == [NO_AB_INITIO]


def test_work_of_a_pressure_is_taken_out_of_the_energy(tmp_path, monkeypatch):
    path = run_vasp(tmp_path / "run", monkeypatch, **MD, PSTRESS=50)
    for frame in read_files(path, ALL):
        assert_is_the_engines(frame)
        assert frame.label.stress is None
        assert frame.label.provenance["stress"] == "not read: PSTRESS is 50.0 kBar"


def test_a_density_that_was_kept_is_no_label(tmp_path, monkeypatch):
    path = run_vasp(tmp_path / "run", monkeypatch, ICHARG=11)
    (frame,) = read_files(path)
    assert "ICHARG is 11" in frame.defect


@pytest.mark.parametrize(
    ("tags", "is_own"),
    [
        (MD, True),
        ({"NSW": 3, "IBRION": 2, "ISIF": 2}, True),
        ({"NSW": 3, "IBRION": 2, "ISIF": 3}, False),  # the plane waves are those of the first cell
        ({**MD, "ENCUT": 520}, False),
    ],
)
def test_steps_in_a_fixed_cell_are_the_campaigns_own(tmp_path, monkeypatch, tags, is_own):
    (frame,) = read_files(run_vasp(tmp_path / "run", monkeypatch, **tags))
    assert is_run_of(frame, make_static_maker(LabelParams(kpoint_length=10))) is is_own


def test_runs_are_found_by_content_and_behind_links(tmp_path, monkeypatch):
    path = run_vasp(tmp_path / "here/run", monkeypatch)
    content = path.read_bytes()
    for name, packed in {
        "vasprun.xml.gz": gzip.compress(content),
        "vasprun.xml.bz2": bz2.compress(content),
        "vasprun.xml.xz": lzma.compress(content),
        "vasprun.xml.relax1": content,
        "vasprun.xml.relax2.gz": gzip.compress(content),
        "vasprun_2.xml": content,
        "run42.xml": content,
        "noname": gzip.compress(content),
        "vasprun.extxyz": b"not looked at",
    }.items():
        folder = tmp_path / "here" / name.replace(".", "_")
        folder.mkdir()
        (folder / name).write_bytes(packed)
    shutil.move(tmp_path / "here/vasprun_xml_bz2", tmp_path / "elsewhere")
    (tmp_path / "here/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "here/again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "here")
    frames = list(read_files(tmp_path / "here"))
    assert all(frame.defect is None for frame in frames)
    assert [frame.location.rsplit("/")[-1] for frame in frames] == [
        *("vasprun.xml.bz2", "vasprun.xml", "vasprun_2.xml"),
        *("vasprun.xml.gz", "vasprun.xml.relax1", "vasprun.xml.relax2.gz", "vasprun.xml.xz"),
    ]
    for name in ("run42_xml/run42.xml", "noname/noname"):
        (frame,) = read_files(tmp_path / "here" / name)
        assert frame.defect is None
        assert content_key(frame) == content_key(frames[0])


def test_an_extended_xyz_may_be_called_after_vasprun(tmp_path):
    atoms = rattled("Si", repeat=1, seed=1)
    atoms.calc = PairPotential()
    atoms.get_stress()
    for name in ("vasprun.xml", "set_of_vasprun.xml.extxyz"):
        atoms.write(tmp_path / name, format="extxyz")
        (frame,) = read_files(tmp_path / name)
        assert frame.defect is None
        assert frame.source["index"] == 0


def test_compressions_that_are_not_read_are_named(tmp_path):
    (tmp_path / "vasprun.xml.Z").write_bytes(b"\x1f\x9d\x90...")
    (frame,) = read_files(tmp_path)
    assert "compressed by compress (.Z); expected gzip, bzip2, xz" in frame.defect
    (tmp_path / "vasprun.xml.Z").write_bytes(gzip.compress(b"<modeling>" * 1000)[:40])
    (frame,) = read_files(tmp_path)
    assert "cut off or damaged before its first ionic step" in frame.defect
