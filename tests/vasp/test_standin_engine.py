"""An engine that can label nothing is no cell's fault, and is found before anything runs."""

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from atomate2.vasp.jobs.core import StaticMaker
from atomate2.vasp.jobs.matpes import MatPesGGAStaticMaker
from atomate2.vasp.sets.core import StaticSetGenerator
from cells import crystal
from pymatgen.core import Lattice
from pymatgen.io.vasp import Incar
from pymatgen.io.vasp.sets import MatPESStaticSet

from entropy_flows.label import (
    EngineError,
    LabelParams,
    Reason,
    engine_of,
    label_one,
    make_static_maker,
)

FILE = Incar.from_str("ENCUT = 520\nISPIN = 2\nMAGMOM = 2*3.0 2*0.6\nLDAU = T\nLDAUU = 4 0\n")


def static(tags, **options):
    return StaticMaker(input_set_generator=StaticSetGenerator(user_incar_settings=tags), **options)


NO_INPUTS = {
    "an INCAR that was read from a file": static(FILE.as_dict()),
    "MAGMOM as a list": static({"ISPIN": 2, "MAGMOM": [3.0, -3.0]}),
    "MAGMOM as VASP writes it": static({"ISPIN": 2, "MAGMOM": "8*1.0"}),
    "LDAUU as a list": static({"LDAU": True, "LDAUU": [4, 0]}),
    "EDIFF that is no number": static({"EDIFF": "tight"}),
    "k points that are no number": StaticMaker(
        input_set_generator=StaticSetGenerator(user_kpoints_settings={"reciprocal_density": "many"})
    ),
    "no pseudopotential of an element": StaticMaker(
        input_set_generator=StaticSetGenerator(
            config_dict={"INCAR": {"EDIFF": 1e-5}, "POTCAR": {"C": "C"}}
        )
    ),
}


@pytest.fixture
def silicon():
    return crystal("Fd-3m", Lattice.cubic(5.43), ["Si"], [[0, 0, 0]])


@pytest.mark.parametrize("name", NO_INPUTS)
def test_a_maker_that_writes_no_cells_inputs(name, silicon, vasp):
    maker = NO_INPUTS[name]
    with pytest.raises(EngineError, match="writes no cell's inputs") as error:
        label_one(maker, silicon)
    assert "\n" not in str(error.value)
    assert not list(Path().glob("INCAR"))
    with pytest.raises(EngineError, match="cannot write the inputs of 'phase diamond'"):
        engine_of(maker).check({"phase diamond": silicon})


@dataclass
class NotForEight(StaticSetGenerator):
    """An input set that cannot do with eight atoms."""

    @property
    def incar(self):
        if len(self.structure) == 8:
            raise RuntimeError("eight atoms")
        return super().incar


def test_a_cell_that_has_no_inputs_is_a_failed_label(vasp, silicon):
    label = label_one(StaticMaker(input_set_generator=NotForEight()), silicon)
    assert (label.reason, label.evidence) == (Reason.CRASH, "RuntimeError: eight atoms")


def test_a_library_without_an_element(vasp, silicon):
    germanium = crystal("Fd-3m", Lattice.cubic(5.66), ["Ge"], [[0, 0, 0]])
    maker = vasp()
    engine_of(maker).check({"phase diamond": silicon})
    engine_of(maker).check_here()
    with pytest.raises(EngineError, match=r"has no POTCAR Ge_d \(PBE_54\) in .*potcars"):
        engine_of(maker).check({"phase diamond": germanium})
    with pytest.raises(EngineError, match="symbol='Ge_d'"):
        label_one(maker, germanium)
    with pytest.raises(EngineError, match=r"has no POTCAR Ge_d \(PBE_64\)"):
        engine_of(MatPesGGAStaticMaker()).check({"phase diamond": germanium})


@pytest.mark.parametrize(
    ("command", "word"),
    [("/nowhere/vasp_std", "/nowhere/vasp_std"), ("vasp_std_of_nobody", "vasp_std_of_nobody")],
)
def test_no_vasp(vasp, silicon, command, word):
    maker = vasp(vasp_cmd=command, vasp_gamma_cmd=command)
    assert engine_of(maker).missing_here().startswith(f"no {word!r}, of VASP's command")
    with pytest.raises(EngineError, match=f"cannot run here: no '{word}'"):
        engine_of(maker).check_here()
    with pytest.raises(EngineError, match=f"No such file or directory: '{word}'"):
        label_one(maker, silicon)


@pytest.mark.parametrize(
    ("command", "program"),
    [
        ("env -i vasp_std_of_nobody", "vasp_std_of_nobody"),
        ("env -u HOME /nowhere/vasp_gam", "/nowhere/vasp_gam"),
        ("env OUT=vasp.out true --job-name=vasp_x", None),
        ("bash -c 'module load vasp; srun vasp_std'", None),
    ],
)
def test_vasp_after_another_program(vasp, command, program):
    missing = engine_of(vasp(vasp_cmd=command, vasp_gamma_cmd=command)).missing_here()
    assert missing is None if program is None else missing.startswith(f"no {program!r}")


@pytest.mark.parametrize(
    "words",
    [
        "bash: line 1: vasp_std: command not found",
        "slurmstepd: error: execve(): vasp_std: No such file or directory",
        "mpirun was unable to find the specified executable file",
        "vasp_std: error while loading shared libraries: libmkl_intel_lp64.so.2: "
        "cannot open shared object file",
    ],
)
def test_a_launcher_that_does_not_find_vasp(vasp, silicon, tmp_path, words):
    script = tmp_path / "launcher.py"
    script.write_text(f"import sys\nsys.stderr.write({words!r})\nsys.exit(127)\n")
    command = f"{sys.executable} {script}"
    with pytest.raises(
        EngineError, match="VASP PBE cannot run here: .*" + words.split(":")[-1].strip()[:20]
    ):
        label_one(vasp(vasp_cmd=command, vasp_gamma_cmd=command), silicon)


def test_no_library_and_nothing_of_other_engines(vasp, silicon, monkeypatch):
    import pymatgen.io.vasp.inputs as inputs

    maker = vasp()
    monkeypatch.setitem(inputs.SETTINGS, "PMG_VASP_PSP_DIR", "/nonexistent")
    assert engine_of(maker).missing_here().startswith("no POTCARs")
    engine_of(maker).check({"phase diamond": silicon})  # the workers may have it
    maker.write_input_set_kwargs = {"potcar_spec": True}
    assert engine_of(maker).missing_here() is None
    other = make_static_maker(LabelParams(engine="forcefield", model="ase.calculators.emt.EMT"))
    assert engine_of(other).missing_here() is None
    engine_of(other).check({"phase diamond": silicon})


def test_matpes_runs_as_a_label_engine(vasp, silicon):
    run = vasp().run_vasp_kwargs
    inputs = MatPESStaticSet(
        user_incar_settings={"IBRION": -1}
    )  # emmet asks for it where there is no band structure
    maker = MatPesGGAStaticMaker(
        input_set_generator=inputs,
        run_vasp_kwargs=run,
        write_input_set_kwargs={"potcar_spec": True},
    )
    label = label_one(maker, silicon)
    assert label.converged, label.evidence
    assert label.provenance["kpoints"] == {"style": "Gamma", "mesh": [6, 6, 6]}
