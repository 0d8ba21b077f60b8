"""Presets and Makers of one's own, their names and hashes, and failures that end as rows."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.calculators.calculator import Calculator, SCFError, all_changes
from ase.calculators.emt import EMT
from atomate2.ase.jobs import AseRelaxMaker
from atomate2.vasp.jobs.core import StaticMaker
from atomate2.vasp.sets.core import StaticSetGenerator
from cells import crystal
from jobflow import Flow, Maker, Response, job
from pydantic import ValidationError
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from entropy_flows.label import (
    EngineError,
    LabelParams,
    PBEStaticSetGenerator,
    Reason,
    check_geometry,
    engine_of,
    label_batch,
    label_one,
    labels_per_job,
    make_static_maker,
    reason_from_exception,
)
from entropy_flows.label.engines.forcefield import ForceFieldEngine

EMT_ENGINE = LabelParams(engine="forcefield", model="ase.calculators.emt.EMT")


@pytest.fixture(autouse=True)
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def copper():
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.05, seed=1)
    return AseAtomsAdaptor.get_structure(atoms)


class Smeared(Calculator):
    """EMT with an electronic entropy: E₀ and F differ, and it is slow to load."""

    implemented_properties = ("energy", "free_energy", "forces", "stress")
    loaded = 0

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        type(self).loaded += 1
        torch.set_default_dtype(torch.float64)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        twin = atoms.copy()
        twin.calc = EMT()
        self.results = {
            "energy": twin.get_potential_energy(),
            "forces": twin.get_forces(),
            "stress": twin.get_stress(),
        }
        self.results["free_energy"] = self.results["energy"] - 0.011


@dataclass
class SmearedMaker(AseRelaxMaker):
    name: str = "smeared"
    steps: int = 1
    relax_cell: bool = False
    calculator_kwargs: dict = field(default_factory=dict)

    def _get_calculator(self):
        return Smeared(**self.calculator_kwargs)


@dataclass
class FailingMaker(Maker):
    name: str = "failing"
    message: str = "segmentation fault"
    kind: type = RuntimeError

    @job
    def make(self, structure):
        raise self.kind(self.message)


@dataclass
class FlowMaker(Maker):
    name: str = "flow"

    def make(self, structure):
        return Flow([FailingMaker().make(structure)])


@dataclass
class DetourMaker(Maker):
    name: str = "detour"

    @job
    def make(self, structure):
        return Response(detour=FailingMaker().make(structure))


@dataclass
class DelegatingMaker(Maker):
    name: str = "delegating"

    def make(self, structure):
        return SmearedMaker().make(structure)


def smeared_factory():
    return SmearedMaker()


# --- choosing an engine


def test_presets_name_themselves():
    names = {
        "vasp-pbe": "VASP PBE",
        "vasp-r2scan-rvv10": "VASP r2SCAN+rVV10",
        "forcefield": "SevenNet-0 (teacher, not DFT)",
    }
    for engine, name in names.items():
        assert engine_of(make_static_maker(LabelParams(engine=engine))).name == name
    with_u = LabelParams(spin=True, hubbard_u={"Ni": 6.2})
    assert engine_of(make_static_maker(with_u)).name == "VASP PBE+U"
    assert engine_of(make_static_maker(EMT_ENGINE)).name == "EMT (teacher, not DFT)"
    assert engine_of(StaticMaker(input_set_generator=StaticSetGenerator())).name == "VASP PBEsol"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"engine": "vasp-pb"}, "did you mean 'vasp-pbe'"),
        ({"engine": "custom"}, "give `maker`"),
        ({"engine": "forcefield", "maker": "a.b:c"}, "give `maker`"),
        ({"engine": "forcefield", "user_incar_settings": {"ENCUT": 500}}, "no effect"),
        ({"maker": "a.b:c", "run_vasp_kwargs": {"wall_time": 10}}, "on the Maker itself"),
        ({"engine": "forcefield", "modle": "SevenNet"}, "did you mean 'model'"),
        ({"ladder": 1}, "called 'scf_retries'"),
    ],
)
def test_wrong_parameters_die_early(wrong, words):
    with pytest.raises(ValidationError, match=words):
        LabelParams(**wrong)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (LabelParams(engine="forcefield", model="SevenNett"), "did you mean 'SevenNet'"),
        (
            LabelParams(engine="forcefield", model="ase.calculators.emt.EMTT"),
            "ase.calculators.emt:EMTT",
        ),
        (LabelParams(maker="no_such_package.makers:static"), "no_such_package.makers:static"),
        (LabelParams(maker="json"), "package.module:name"),
        (LabelParams(maker="json:dumps"), "json:dumps.*missing"),
        (LabelParams(maker="entropy_flows.params:Params"), "not a jobflow Maker"),
        (LabelParams(maker={"name": "x"}), "'@module' and '@class'"),
    ],
)
def test_engines_that_do_not_exist_say_so(params, words):
    with pytest.raises(ValueError, match=words):
        make_static_maker(params)


def test_a_maker_of_ones_own_is_untouched():
    generator = StaticSetGenerator(user_incar_settings={"ENCUT": 450, "NCORE": 4})
    mine = StaticMaker(
        name="mine", input_set_generator=generator, run_vasp_kwargs={"wall_time": 60}
    )
    params = LabelParams(maker=mine)
    travelled = LabelParams.from_dict(json.loads(json.dumps(params.as_dict())))
    for one in (params, travelled, LabelParams(maker=mine.as_dict())):
        maker = make_static_maker(one)
        assert one.engine == "custom"
        assert maker.name == "mine"
        assert maker.run_vasp_kwargs == {"wall_time": 60}
        assert maker.input_set_generator.user_incar_settings == {"ENCUT": 450, "NCORE": 4}


@pytest.mark.parametrize("name", ["smeared_factory", "SmearedMaker"])
def test_a_maker_by_import_path(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "my_makers", sys.modules[__name__])
    assert isinstance(make_static_maker(LabelParams(maker=f"my_makers:{name}")), SmearedMaker)


def test_a_job_has_more_labels_the_cheaper_they_are():
    assert labels_per_job(LabelParams()) == 1
    assert labels_per_job(LabelParams(engine="forcefield")) == 16
    of_calculator = {"engine": "forcefield", "model": "ase.calculators.emt.EMT"}
    assert labels_per_job(LabelParams(**of_calculator)) == 128
    electrons = SimpleNamespace(calculator_meta="tblite.ase.TBLite", calculator_kwargs={})
    assert ForceFieldEngine(electrons).labels_per_job == 8
    assert labels_per_job(LabelParams(engine="forcefield", batch_size=3)) == 3
    assert labels_per_job(LabelParams(maker="a.b:c"), make_static_maker(EMT_ENGINE)) == 128


# --- the settings' hash


def pbe(**kwargs):
    generator = PBEStaticSetGenerator(**kwargs)
    return StaticMaker(input_set_generator=generator)


def test_hash_changes_with_the_physics():
    makers = [
        pbe(),
        pbe(user_incar_settings={"ENCUT": 601}),
        pbe(kpoint_length=30),
        pbe(user_potcar_settings={"Na": "Na"}),
        pbe(user_potcar_functional="PBE_64"),
        make_static_maker(LabelParams(engine="vasp-r2scan-rvv10")),
        StaticMaker(),
        make_static_maker(EMT_ENGINE),
        make_static_maker(
            LabelParams(engine="forcefield", model="ase.calculators.lj.LennardJones")
        ),
        make_static_maker(
            EMT_ENGINE.model_copy(update={"calculator_kwargs": {"asap_cutoff": True}})
        ),
        make_static_maker(LabelParams(engine="forcefield")),
        SmearedMaker(),
        SmearedMaker(calculator_kwargs={"x": 1}),
    ]
    assert len({engine_of(maker).hash for maker in makers}) == len(makers)


def test_hash_ignores_everything_else():
    maker = pbe(user_incar_settings={"ENCUT": 600.0, "GGA": "Pe", "NCORE": 8, "LWAVE": True})
    maker.name = "another name"
    maker.run_vasp_kwargs = {"vasp_cmd": "srun vasp_std", "wall_time": 3600}
    maker.write_input_set_kwargs = {"potcar_spec": True}
    assert engine_of(maker).hash == engine_of(pbe()).hash
    assert engine_of(SmearedMaker(name="x", tags=["y"])).hash == engine_of(SmearedMaker()).hash


def test_hash_of_a_model_is_its_content(in_tmp):
    def with_model(path):
        return engine_of(SmearedMaker(calculator_kwargs={"model": str(path)})).hash

    for name, weights in [("a.pth", b"1"), ("b.pth", b"1"), ("c.pth", b"2")]:
        (in_tmp / name).write_bytes(weights)
    assert (
        with_model(in_tmp / "a.pth") == with_model(in_tmp / "b.pth") != with_model(in_tmp / "c.pth")
    )


def test_hash_is_the_same_in_another_process_and_after_use(copper):
    maker = make_static_maker(EMT_ENGINE)
    before = engine_of(maker).hash
    label_one(maker, copper)
    code = (
        "from entropy_flows.label import LabelParams, engine_of, make_static_maker; "
        "print(*[engine_of(make_static_maker(p)).hash for p in "
        "(LabelParams(engine='forcefield', model='ase.calculators.emt.EMT'), LabelParams())])"
    )
    env = {**os.environ, "PYTHONHASHSEED": "7"}
    other = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, env=env
    )
    assert other.stdout.split() == [before, engine_of(make_static_maker(LabelParams())).hash]
    assert engine_of(maker).hash == before


# --- one label, one job


def test_label_one_keeps_the_free_energy_of_a_smeared_engine(copper):
    label = label_one(SmearedMaker(), copper)
    assert label.converged
    assert label.free_energy == pytest.approx(label.energy - 0.011)
    assert label.provenance["engine"] == "SmearedMaker"


def test_batches_load_once_run_apart_and_leave_torch_alone(in_tmp, copper):
    Smeared.loaded = 0
    cells = [copper, copper.copy().scale_lattice(44.0), copper]
    labels = list(label_batch(SmearedMaker(), cells))
    assert Smeared.loaded == 1
    assert torch.get_default_dtype() == torch.float32
    assert sorted(path.name for path in in_tmp.iterdir()) == [
        "label_0000",
        "label_0001",
        "label_0002",
    ]
    assert labels[1].pressure > labels[0].pressure
    np.testing.assert_array_equal(labels[0].forces, labels[2].forces)


def test_a_plain_method_may_hand_out_another_makers_job(copper):
    np.testing.assert_array_equal(
        label_one(DelegatingMaker(), copper).forces, label_one(SmearedMaker(), copper).forces
    )


@pytest.mark.parametrize("maker", [FlowMaker(), DetourMaker()])
def test_more_than_one_job_is_refused(maker, copper):
    with pytest.raises(EngineError, match=type(maker).__name__):
        label_one(maker, copper)


# --- failure is data


def test_a_failing_maker_gives_a_row(in_tmp, copper):
    label = label_one(FailingMaker(), copper, in_tmp / "run")
    assert (label.converged, label.reason) == (False, Reason.CRASH)
    assert "segmentation fault" in label.evidence
    assert (label.energy, label.forces, label.n_atoms) == (None, None, 4)
    assert label.provenance == {"engine": "FailingMaker"}
    assert os.getcwd() == str(in_tmp)
    json.dumps(label.as_dict())


def test_one_failure_does_not_stop_a_batch(copper):
    collapsed = copper.copy()
    collapsed.translate_sites(
        [1], collapsed.frac_coords[0] - collapsed.frac_coords[1] + 0.05, to_unit_cell=False
    )
    labels = list(label_batch(make_static_maker(EMT_ENGINE), [copper, collapsed, copper]))
    assert [label.reason for label in labels] == [None, Reason.BAD_GEOMETRY, None]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_interrupts_pass_through(copper, kind):
    with pytest.raises(kind):
        label_one(FailingMaker(kind=kind), copper)


def test_an_engine_that_is_not_installed_blames_no_structure(copper):
    with pytest.raises(EngineError, match="no_package"):
        label_one(FailingMaker(kind=ImportError, message="no_package"), copper)
    nowhere = LabelParams(
        run_vasp_kwargs={"vasp_cmd": "/nowhere/vasp", "vasp_gamma_cmd": "/nowhere/vasp"}
    )
    maker = make_static_maker(nowhere)
    maker.write_input_set_kwargs["potcar_spec"] = True
    with pytest.raises(EngineError, match="/nowhere/vasp"):
        label_one(maker, copper)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 1", Reason.CRASH),
        ("echo '<modeling><gen' > vasprun.xml", Reason.PARSE_ERROR),
        (
            "echo 'slurmstepd: error: Detected 1 oom-kill event(s)' >&2; exit 137",
            Reason.OUT_OF_MEMORY,
        ),
    ],
)
def test_custodian_on_a_broken_vasp(in_tmp, copper, script, reason):
    command = in_tmp / "vasp.sh"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    run = {
        "vasp_cmd": str(command),
        "vasp_gamma_cmd": str(command),
        "custodian_kwargs": {"polling_time_step": 0.2},
    }
    maker = make_static_maker(LabelParams(run_vasp_kwargs=run))
    maker.write_input_set_kwargs["potcar_spec"] = True
    label = label_one(maker, copper, in_tmp / "run")
    assert label.reason is reason
    assert "VasprunXMLValidator" in label.evidence
    assert label.provenance == {"engine": "VASP PBE"}


def test_reasons_of_exceptions(in_tmp):
    from custodian.custodian import MaxCorrectionsPerJobError, NonRecoverableError, ValidationError
    from custodian.vasp.handlers import (
        FrozenJobErrorHandler,
        UnconvergedErrorHandler,
        WalltimeHandler,
    )
    from custodian.vasp.validators import VaspFilesValidator, VasprunXMLValidator

    (in_tmp / "vasprun.xml").touch()
    unsuccessful = RuntimeError(
        "Job was not successful (perhaps your job did not converge within the limit)!"
    )
    table = [
        (NonRecoverableError("x", True, UnconvergedErrorHandler()), Reason.SCF_NOT_CONVERGED),
        (NonRecoverableError("x", True, WalltimeHandler()), Reason.WALLTIME),
        (NonRecoverableError("x", True, FrozenJobErrorHandler()), Reason.WALLTIME),
        (ValidationError("x", True, VasprunXMLValidator()), Reason.PARSE_ERROR),
        (ValidationError("x", True, VaspFilesValidator()), Reason.CRASH),
        (MaxCorrectionsPerJobError("Max errors", True, 5, None), Reason.CRASH),
        (unsuccessful, Reason.SCF_NOT_CONVERGED),
        (SCFError("no luck"), Reason.SCF_NOT_CONVERGED),
        (MemoryError(), Reason.OUT_OF_MEMORY),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
            Reason.OUT_OF_MEMORY,
        ),
        (subprocess.TimeoutExpired("vasp_std", 60), Reason.WALLTIME),
        (TimeoutError(), Reason.WALLTIME),
        (json.JSONDecodeError("x", "", 0), Reason.PARSE_ERROR),
        (ZeroDivisionError(), Reason.CRASH),
    ]
    for exc, reason in table:
        reason_found, evidence = reason_from_exception(exc, in_tmp)
        assert (reason_found, type(exc).__name__ in evidence) == (reason, True), exc


@pytest.mark.parametrize(
    ("handler", "error", "reason"),
    [
        ("UnconvergedErrorHandler", "Unconverged", Reason.SCF_NOT_CONVERGED),
        ("WalltimeHandler", "Walltime reached", Reason.WALLTIME),
        ("StdErrHandler", "out_of_memory", Reason.OUT_OF_MEMORY),
        ("VaspErrorHandler", "brions", Reason.CRASH),
    ],
)
def test_custodians_log_tells_one_giving_up_from_another(in_tmp, handler, error, reason):
    from custodian.custodian import MaxCorrectionsError

    first = {"errors": ["tet"], "handler": {"@class": "VaspErrorHandler"}}
    log = [{"corrections": [first, {"errors": [error], "handler": {"@class": handler}}]}]
    (in_tmp / "custodian.json").write_text(json.dumps(log))
    reason_found, evidence = reason_from_exception(
        MaxCorrectionsError("Max errors reached: 5.", True, 5), in_tmp
    )
    assert reason_found is reason
    assert handler in evidence


# --- before the run


def test_geometries_worth_calculating():
    for symbol, a in [("Si", 5.43), ("C", 3.567), ("C", 3.0)]:
        assert check_geometry(crystal("Fd-3m", Lattice.cubic(a), [symbol], [[0, 0, 0]])) is None
    assert check_geometry(Structure(Lattice.cubic(12), ["C"], [[0, 0, 0]])) is None


@pytest.mark.parametrize(
    ("structure", "words"),
    [
        (
            Structure(Lattice.cubic(5), ["Si", "Si"], [[0, 0, 0], [0.1, 0, 0]]),
            "atoms 0 and 1|atoms 1 and 0",
        ),
        (Structure(Lattice.orthorhombic(0.9, 9, 9), ["Si"], [[0, 0, 0]]), "atoms 0 and 0"),
        (Structure(Lattice.cubic(5), ["Si", "Si"], [[0, 0, 0], [0, 0, 0]]), "0.000 Å"),
        (Structure(Lattice.cubic(5), ["Si"], [[np.nan, 0, 0]]), "not finite"),
        (Structure(Lattice.cubic(1.2), ["Si"], [[0, 0, 0]]), "per atom"),
        (Structure(Lattice.cubic(50), ["C"], [[0, 0, 0]]), "per atom"),
    ],
)
def test_geometries_not_worth_calculating(structure, words):
    assert re.search(words, check_geometry(structure))


def test_importing_the_package_loads_nothing_heavy():
    heavy = "{'torch', 'atomate2', 'pymatgen'}"
    code = (
        f"import sys, entropy_flows.label as label; dir(label); print({heavy} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
