"""A model's family: by its name, by the end of its file, or named beside it."""

import pytest
from ase.build import bulk
from small_models import small_sevennet

from entropy_flows.batch import Batch
from entropy_flows.potentials import (
    ase_lines,
    compile_model,
    file_suffix,
    find_model,
    load_batch_model,
    locate_model,
    match_model,
    with_arguments,
    with_family_of,
)
from entropy_flows.potentials.families import module_of


@pytest.mark.parametrize(
    ("name", "family", "suffix", "module"),
    [
        ("a/b.nequip.zip", "nequip", ".nequip.zip", None),
        ("b.nequip.pt2", "nequip", ".nequip.pt2", None),
        ("nequip.net:group/model:0.1.nequip.zip", "nequip", "", None),
        ("a.b.pth", "sevennet", ".pth", None),
        ("7net-l3i5", "sevennet", "", None),
        ("CHGNet", "chgnet", "", None),
        ("ase.calculators.emt.EMT", "import-path", "", "ase.calculators.emt"),
    ],
)
def test_a_name_tells_its_family(name, family, suffix, module):
    assert find_model(name).family.name == family
    assert file_suffix(name) == suffix
    assert module_of(name) == module


def test_an_unknown_name_has_none():
    assert match_model("weights.bin") is None
    assert file_suffix("weights.bin") == ""
    with pytest.raises(ValueError, match="unknown model family 'nequipp'"):
        match_model(with_arguments("weights.bin", {"family": "nequipp"}))


def test_a_family_named_beside_a_file_takes_it_whatever_its_end(tmp_path):
    pytest.importorskip("sevenn")
    small_sevennet(tmp_path / "weights.bin")
    named = with_arguments("weights.bin", {"family": "sevennet"})
    located = locate_model(named, tmp_path)

    assert file_suffix(named) == ".bin"
    assert find_model(located).name == str(tmp_path / "weights.bin")
    assert load_batch_model(located)(Batch.of([bulk("Si")])).forces.shape == (2, 3)
    assert find_model(with_family_of(named, "other.bin")).family.name == "sevennet"
    assert with_family_of("a.pth", "b.pth") == "b.pth"


def test_nequip_loads_by_the_end_of_a_name_so_other_ends_are_refused():
    with pytest.raises(ValueError, match=r"none of NequIP's: a path ending in \.nequip\.zip"):
        load_batch_model(with_arguments("weights.bin", {"family": "nequip"}))


def test_what_has_no_faster_form_is_not_compiled(tmp_path):
    with pytest.raises(ValueError, match="models of the family sevennet are not compiled"):
        compile_model("7net-0", tmp_path / "fast.pt2")


@pytest.mark.parametrize(
    ("model", "call"),
    [
        ("SevenNet-0", 'SevenNetCalculator("7net-0")'),
        ("mgo-1.sevennet.pth", 'SevenNetCalculator("mgo-1.sevennet.pth")'),
        (
            with_arguments("a b.pth", {"modal": "PBE", "family": "sevennet"}),
            """SevenNetCalculator("a b.pth", modal='PBE')""",
        ),
        ("si-2.nequip.zip", 'load_calculator("si-2.nequip.zip")'),
        ("ase.calculators.emt.EMT", 'load_calculator("ase.calculators.emt.EMT")'),
    ],
)
def test_three_lines_load_a_model_in_ase(model, call):
    imported, made, used = ase_lines(model)
    assert imported.endswith(f"import {call.partition('(')[0]}")
    assert made == f"calculator = {call}"
    assert used == "atoms.calc = calculator"
