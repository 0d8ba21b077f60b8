"""One line of a YAML file changes; comments, order and everything else stay byte by byte."""

import pytest

from entropy_flows.yaml_edit import set_line
from entropy_flows.yaml_text import read_yaml

FILE = """\
# a campaign
name: mgo   # its name
base_model: SevenNet-0   # the teacher
# crystals
phases:
  - {name: B1, file: a.cif}
"""
BLOCK = """\
base_model:
  name: 7net-mf-0
  modal: PBE   # one of two

# crystals
phases: [a]
"""


@pytest.mark.parametrize(
    ("before", "line"),
    [
        (FILE, 3),
        (FILE.replace("\n", "\r\n"), 3),
        (FILE.replace("base_model: SevenNet-0", "base_model: {name: 7net-mf-0, modal: PBE}"), 3),
        (BLOCK, 3),
        ("base_model: a", 1),
        (FILE.replace("mgo ", "Mg₂SiO₄ "), 3),
    ],
)
def test_a_new_line_comes_behind_its_key(before, line, tmp_path):
    path = tmp_path / "campaign.yaml"
    path.write_bytes(before.encode())
    content = read_yaml(path)
    set_line(path, "student", "mgo-student.nequip.zip", after="base_model")
    after = path.read_bytes().decode().splitlines(keepends=True)
    added = after.pop(line)
    assert added.rstrip() == "student: mgo-student.nequip.zip"
    assert "".join(after).rstrip() == before.rstrip()
    assert read_yaml(path) == {**content, "student": "mgo-student.nequip.zip"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["campaign.yaml"]


@pytest.mark.parametrize("old", ["old.nequip.zip", '"old one"', "null", ""])
def test_a_line_that_is_there_changes_its_value_alone(old, tmp_path):
    path = tmp_path / "campaign.yaml"
    path.write_text(FILE + f"student: {old}  # mine\n")
    set_line(path, "student", "new.nequip.zip", after="base_model")
    assert path.read_text().startswith(FILE)
    assert path.read_text().endswith("# mine\n")
    assert read_yaml(path)["student"] == "new.nequip.zip"


@pytest.mark.parametrize(
    "text",
    [
        "{name: mgo, base_model: a}\n",
        "base_model: a\nstudent:\n  name: x\n  family: y\n",
        "name: mgo\n",
        "base_model: a; student: b\n--- \n",
    ],
)
def test_what_is_no_matter_of_a_line_stays_and_is_said(text, tmp_path):
    path = tmp_path / "campaign.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"campaign\.yaml"):
        set_line(path, "student", "new.nequip.zip", after="base_model")
    assert path.read_text() == text


def test_a_link_stays_one(tmp_path):
    (tmp_path / "real.yaml").write_text(FILE)
    (tmp_path / "campaign.yaml").symlink_to("real.yaml")
    set_line(tmp_path / "campaign.yaml", "student", "s.nequip.zip", after="base_model")
    assert (tmp_path / "campaign.yaml").is_symlink()
    assert read_yaml(tmp_path / "real.yaml")["student"] == "s.nequip.zip"
