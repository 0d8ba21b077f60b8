"""A base model that is the label engine is told before anything runs."""

import pytest

from entropy_flows.cli.check_models import identity, teacher_warnings
from entropy_flows.label import LabelParams


def warned(base_model, **label):
    engine = LabelParams(engine="forcefield", **label).make_engine()
    return teacher_warnings({"base_model": base_model}, engine)


@pytest.mark.parametrize("model", ["SevenNet-0", "sevennet-0", "7net-0"])
@pytest.mark.parametrize(
    "label", [{}, {"model": "SevenNet"}, {"calculator_kwargs": {"model": "7net-0"}}]
)
def test_one_model_under_several_names(model, label):
    (line,) = warned(model, **label)
    assert line.startswith(f"base_model {model} is the label engine, too")


def test_another_model_is_none():
    assert warned("7net-l3i5") == []
    assert warned("SevenNet-0", calculator_kwargs={"model": "7net-l3i5"}) == []
    assert warned("SevenNet-0", model="ase.calculators.emt.EMT") == []
    assert teacher_warnings({"base_model": "SevenNet-0"}, LabelParams().make_engine()) == []


def test_a_calculator_by_its_import_path():
    assert len(warned("ase.calculators.emt.EMT", model="ase.calculators.emt.EMT")) == 1
    assert warned("ase.calculators.lj.LennardJones", model="ase.calculators.emt.EMT") == []


def test_a_file_is_known_by_its_content(tmp_path):
    first, copy, other = (tmp_path / name for name in ("a.pth", "b.pth", "c.pth"))
    for path in (first, copy):
        path.write_bytes(b"weights")
    other.write_bytes(b"other weights")
    assert len(warned(str(copy), calculator_kwargs={"model": str(first)})) == 1
    assert warned(str(other), calculator_kwargs={"model": str(first)}) == []
    assert identity(str(first)) == identity(str(copy)) != identity(str(other))


def test_the_student_counts_too():
    engine = LabelParams(engine="forcefield", model="ase.calculators.emt.EMT").make_engine()
    models = {"base_model": "SevenNet-0", "student": "ase.calculators.emt.EMT"}
    (line,) = teacher_warnings(models, engine)
    assert line.startswith("student ase.calculators.emt.EMT")
