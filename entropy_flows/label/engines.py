"""The engine that makes the labels: a preset or any atomate2 static Maker, its name and its settings' hash."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ase.data import chemical_symbols
from pydantic import Field, field_validator, model_validator

from entropy_flows.digest import digest, file_sha256
from entropy_flows.faults import is_machine_fault
from entropy_flows.label.outliers import OutlierParams
from entropy_flows.label.reasons import EngineError
from entropy_flows.params import Params
from entropy_flows.potentials.sevennet import check_sevennet, sevennet_key
from entropy_flows.spelling import did_you_mean

if TYPE_CHECKING:
    from jobflow import Maker

ENGINES = ("vasp-pbe", "vasp-r2scan-rvv10", "gpaw-pbe", "forcefield", "custom")
_CHEAP_BATCH = 8
_VASP_OWN = (
    *("kpoint_length", "spin", "hubbard_u"),
    *("user_incar_settings", "user_potcar_functional", "user_potcar_settings"),
)
_BY_ELEMENT = ("MAGMOM", "LDAUU", "LDAUJ", "LDAUL")
_OPTIONS = {
    "vasp": {*_VASP_OWN, "run_vasp_kwargs"},
    "gpaw": {"kpoint_length", "cutoff", "smearing", "walltime", "calculator_kwargs"},
    "forcefield": {"model", "calculator_kwargs"},
    "custom": {"maker"},
}
# Of a Maker this package does not know, every field counts but what only names, runs, copies or
# stores.
_NOT_PHYSICS = r"@version|name|tags|ionic_step_data|store_trajectory|write_additional_data|(run|copy|task|stop)_.*kwargs"


class LabelParams(Params):
    """Which engine labels, and how many structures a job takes."""

    renamed: ClassVar[dict[str, str]] = {
        "ladder": "scf_retries",
        "min_distance": "min_distance_fraction",
    }

    engine: str = "vasp-pbe"
    """`vasp-pbe`, `vasp-r2scan-rvv10`, `gpaw-pbe`, `forcefield`, or `custom` (implied by
    `maker`).
    """
    maker: str | dict[str, Any] | None = None
    """Your own static Maker: its MSON dictionary, or "package.module:name" of a Maker or of a
    function making one.
    """
    model: str = "SevenNet-0"
    """Force field: SevenNet-0 or another of SevenNet's names, one of atomate2's, or the import path of an ASE
    calculator ("ase.calculators.emt.EMT")."""
    calculator_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the force field's calculator, or of GPAW on top of its preset."""
    kpoint_length: float = Field(40.0, gt=0)
    """Length ℓ of the VASP and GPAW presets' k-point rule (Å)."""
    spin: bool = False
    """Whether a VASP preset is spin-polarised (ISPIN = 2); MAGMOM is the moments of the cell,
    see `phases.magmoms`.
    """
    hubbard_u: dict[str, float] = Field(default_factory=dict)
    """U_eff = U − J (eV) by element, on top of a VASP preset (Dudarev), such as {Ni: 6.2}: on d states, on f states of
    lanthanides and actinides."""
    cutoff: float = Field(600.0, gt=0)
    """Plane-wave cutoff of the GPAW preset (eV)."""
    smearing: float = Field(0.05, gt=0)
    """Gaussian smearing of the GPAW preset (eV)."""
    walltime: float | None = Field(None, gt=0)
    """Time after which one of GPAW's calculations is given up (s)."""
    user_incar_settings: dict[str, Any] = Field(default_factory=dict)
    """INCAR tags on top of a VASP preset; None removes one."""
    user_potcar_functional: str | None = None
    """POTCAR family of a VASP preset, such as PBE_64; None is atomate2's (PBE_54)."""
    user_potcar_settings: dict[str, str] = Field(default_factory=dict)
    """POTCARs by element on top of a VASP preset's."""
    run_vasp_kwargs: dict[str, Any] = Field(default_factory=dict)
    """How a VASP preset runs: command, custodian handlers, walltime; see atomate2's `run_vasp`. The presets leave out
    LargeSigmaHandler and PositiveEnergyErrorHandler, which take a metal or a squeezed cell for a bad run."""
    batch_size: int | None = Field(None, ge=1)
    """Structures per job; None is 1, and 8 for force fields, where a job would cost more than a
    label.
    """
    top_up: int = Field(0, ge=0, le=3)
    """Times that an iteration replaces its failed labels by the best candidates left, on top of
    `max_labels`.
    """
    outliers: OutlierParams = Field(default_factory=OutlierParams)
    """When a label is flagged instead of trained on."""
    scf_retries: int = Field(2, ge=0, le=3)
    """Settings tried at most, one after the other, when VASP's electronic steps run out; see
    `label.scf_retries`.
    """
    min_distance_fraction: float = Field(0.5, ge=0, lt=1)
    """Shortest distance, as a fraction of the sum of covalent radii, under which a cell is not
    calculated.
    """

    @model_validator(mode="before")
    @classmethod
    def _maker_as_data(cls, data: Any) -> Any:
        """Make a Maker object its dictionary: jobflow revives nested objects on their way through a database."""
        if not isinstance(data, dict) or data.get("maker") is None:
            return data
        maker = data["maker"]
        if hasattr(maker, "as_dict"):
            from monty.json import MontyEncoder

            maker = json.loads(MontyEncoder().encode(maker))
        return {"engine": "custom", **data, "maker": maker}

    @field_validator("engine")
    @classmethod
    def _known_engine(cls, engine: str) -> str:
        if engine not in ENGINES:
            raise ValueError(f"unknown engine '{engine}'{_hint(engine, ENGINES)}")
        return engine

    @field_validator("hubbard_u")
    @classmethod
    def _positive_u(cls, hubbard_u: dict[str, float]) -> dict[str, float]:
        for symbol, value in hubbard_u.items():
            if symbol not in chemical_symbols[1:]:
                raise ValueError(f"{symbol!r} is not a chemical symbol")
            if value <= 0:
                raise ValueError(f"U of {symbol} is {value:g} eV; expected a positive number")
        return hubbard_u

    @model_validator(mode="after")
    def _options_fit_the_engine(self) -> Self:
        kind = self.engine.split("-")[0]
        if (self.maker is None) == (kind == "custom"):
            raise ValueError("give `maker` with engine 'custom', and only with it")
        others = set().union(*_OPTIONS.values()) - _OPTIONS[kind]
        defaults = {
            key: type(self).model_fields[key].get_default(call_default_factory=True)
            for key in others
        }
        if idle := sorted(
            key for key, default in defaults.items() if getattr(self, key) != default
        ):
            hint = "; set it on the Maker itself" if kind == "custom" else ""
            raise ValueError(
                f"{', '.join(idle)} would have no effect with engine '{self.engine}'{hint}"
            )
        return self


def make_static_maker(params: LabelParams) -> Maker:
    """Build the engine's static Maker.

    Parameters
    ----------
    params
        The engine and its options; a Maker of the user's own is returned as it is given.

    Returns
    -------
    Maker
        Of atomate2 or the user.

    Raises
    ------
    EngineError
        If a VASP preset is given INCAR tags that no input set can carry from cell to cell.
    ValueError
        If there is no such engine, Maker or force field.
    """
    if params.maker is not None:
        return _custom_maker(params.maker)
    if params.engine == "forcefield":
        return _forcefield_maker(params.model, params.calculator_kwargs)
    if params.engine == "gpaw-pbe":
        return _gpaw_maker(params)
    _check_tags(params.user_incar_settings)
    from atomate2.vasp.jobs.core import StaticMaker

    from entropy_flows.label.dft import PBEStaticSetGenerator, R2SCANrVV10StaticSetGenerator

    generators = {
        "vasp-pbe": PBEStaticSetGenerator,
        "vasp-r2scan-rvv10": R2SCANrVV10StaticSetGenerator,
    }
    generator = generators[params.engine](**params.model_dump(include=set(_VASP_OWN)))
    return StaticMaker(
        input_set_generator=generator,
        run_vasp_kwargs={**_vasp_handlers(), **params.run_vasp_kwargs},
    )


def _check_tags(tags: dict[str, Any]) -> None:
    """Refuse what cannot follow the atoms of one cell after the other."""
    for tag in _BY_ELEMENT:
        if tags.get(tag) is not None and not isinstance(tags[tag], dict):
            hint = "; moments atom by atom are `magmoms` of a phase" if tag == "MAGMOM" else ""
            raise EngineError(
                f"{tag} {tags[tag]!r}: expected a value for each element, such as {{Ni: 2}}{hint}"
            )
    if any(tags.get(tag) for tag in ("LSORBIT", "LNONCOLLINEAR")):
        raise EngineError(
            "LSORBIT and LNONCOLLINEAR: only collinear moments are carried from cell to cell"
        )


def labels_per_job(params: LabelParams, maker: Maker | None = None) -> int:
    """Structures a job labels: one for electronic structure through files, several for a calculator in memory."""
    if params.batch_size is not None:
        return params.batch_size
    in_memory = params.engine == "forcefield" or (
        maker is not None and hasattr(maker, "calculator_meta")
    )
    return _CHEAP_BATCH if in_memory else 1


def engine_name(maker: Maker) -> str:
    """Name of the engine for people; a force field is never called DFT.

    Returns
    -------
    str
        "VASP PBE", "VASP r2SCAN+rVV10", "SevenNet-0 (teacher, not DFT)"; what a Maker says of
        itself in `engine_name`; the class of any other Maker.
    """
    if isinstance(own := getattr(maker, "engine_name", None), str):
        return own
    if is_vasp(maker):
        from entropy_flows.label.vasp_settings import resolved_incar

        tags = resolved_incar(maker)
        names = {"PE": "PBE", "PS": "PBEsol", "R2SCAN": "r2SCAN"}
        functional = str(tags.get("METAGGA") or tags.get("GGA") or "POTCAR's functional")
        correction = (
            ("+rVV10" if tags.get("METAGGA") else "+vdW-DF") if tags.get("LUSE_VDW") else ""
        )
        hybrid = "hybrid " if tags.get("LHFCALC") else ""
        table = tags.get("LDAUU")
        by_element = (
            [v for v in table.values() if not isinstance(v, dict)]
            if isinstance(table, dict)
            else []
        )
        hubbard = (
            "+U" if any(by_element) else ""
        )  # not of atomate2's own tables, which most cells have no use for
        return f"VASP {hybrid}{names.get(functional.upper(), functional)}{correction}{hubbard}"
    if (meta := getattr(maker, "calculator_meta", None)) is None:
        return type(maker).__name__
    name = getattr(meta, "value", str(meta).rsplit(".", 1)[-1])
    model = str(maker.calculator_kwargs.get("model", ""))  # type: ignore[attr-defined]
    if str(meta).split(".")[0] in ("gpaw", "tblite", "xtb", "dftbplus", "pyscf", "psi4", "abinit"):
        return name  # electronic structure behind an ASE calculator
    if model:
        name = (
            model.replace("7net", "SevenNet")
            if model.startswith("7net")
            else f"{name} {Path(model).name}"
        )
    return f"{name} (teacher, not DFT)"


def hash_engine(maker: Maker) -> str:
    """SHA-256 of what decides an engine's numbers.

    The same on every machine and in every process; not touched by the job's name, commands,
    walltimes, directories or parallelisation. A force field counts with its package's version, and
    a model file with its content.
    """
    return digest(engine_settings(maker), default=str)


def engine_settings(maker: Maker) -> dict[str, Any]:
    """What `hash_engine` digests: all that decides the engine's numbers."""
    if hasattr(maker, "physics"):  # a Maker that knows
        return maker.physics()
    if is_vasp(maker):
        from entropy_flows.label.vasp_settings import vasp_settings

        return vasp_settings(maker)
    if (meta := getattr(maker, "calculator_meta", None)) is not None:
        from atomate2.forcefields.utils import _get_pkg_version

        kwargs = {k: v for k, v in maker.calculator_kwargs.items() if k != "device"}  # type: ignore[attr-defined]
        return {"code": str(meta), "version": _get_pkg_version(meta), "kwargs": _by_content(kwargs)}
    package = type(maker).__module__.split(".")[0]
    fields = {k: v for k, v in maker.as_dict().items() if not re.fullmatch(_NOT_PHYSICS, k)}
    return {"version": _version(package), "ase": _version("ase"), "maker": _by_content(fields)}


def is_vasp(maker: Maker) -> bool:
    """Whether the Maker writes VASP's files, found out without importing them."""
    generator = getattr(maker, "input_set_generator", None)
    return any(cls.__name__ == "VaspInputSet" for cls in type(generator).__mro__)


def _custom_maker(given: str | dict[str, Any]) -> Maker:
    """Revive a user's Maker, or fetch it by its import path."""
    from jobflow import Maker
    from monty.json import MontyDecoder

    if isinstance(given, dict):
        if not {"@module", "@class"} <= given.keys():
            raise ValueError("a Maker given as a dictionary needs its '@module' and '@class'")
        where = f"{given['@module']}:{given['@class']}"
        found = _imported(where) and MontyDecoder().process_decoded(given)
    else:
        where = given
        found = _imported(where)
        if not isinstance(found, Maker) and callable(found):
            try:
                found = found()
            except Exception as exc:
                if is_machine_fault(exc):
                    raise
                raise ValueError(
                    f"label engine '{where}' cannot be made without arguments: {exc}"
                ) from exc
    if not isinstance(found, Maker):
        raise ValueError(f"label engine '{where}' is a {type(found).__name__}, not a jobflow Maker")
    return found


def _imported(path: str) -> Any:
    """Import "package.module:name"."""
    module, _, name = path.partition(":")
    if not name:
        raise ValueError(
            f"label engine '{path}' is not an import path; write 'package.module:name'"
        )
    try:
        found = importlib.import_module(module)
        for attribute in name.split("."):
            found = getattr(found, attribute)
    except (ImportError, AttributeError) as exc:
        raise ValueError(f"label engine '{path}' cannot be imported: {exc}") from exc
    return found


def _forcefield_maker(model: str, calculator_kwargs: dict[str, Any]) -> Maker:
    from atomate2.forcefields import MLFF
    from atomate2.forcefields.jobs import ForceFieldStaticMaker

    arguments = dict(calculator_kwargs)
    if (key := sevennet_key(model)) is not None:
        check_sevennet(model)
        force_field: Any = MLFF.SevenNet
        arguments = {"model": key, **arguments}
    elif "." in model:
        module, _, name = model.rpartition(".")
        _imported(f"{module}:{name}")
        force_field = {"@module": module, "@callable": name}
    else:
        members = {
            alias: member
            for member in MLFF
            for alias in (member.name, member.value)
            if member.name != "Forcefield"
        }
        if model not in members:
            raise ValueError(
                f"unknown force field '{model}'{_hint(model, ['SevenNet-0', *members])}"
            )
        force_field = members[model]
    return ForceFieldStaticMaker(force_field_name=force_field, calculator_kwargs=arguments)


def _vasp_handlers() -> dict[str, Any]:
    """atomate2's custodian handlers but for two that take a hard cell for a bad run.

    LargeSigmaHandler makes another calculation of a metal, PositiveEnergyErrorHandler refuses what
    is squeezed enough.
    """
    from atomate2.vasp.run import DEFAULT_HANDLERS

    others = ("LargeSigmaHandler", "PositiveEnergyErrorHandler")
    return {
        "handlers": [
            handler for handler in DEFAULT_HANDLERS if type(handler).__name__ not in others
        ]
    }


def _gpaw_maker(params: LabelParams) -> Maker:
    from entropy_flows.label.gpaw import GPAWStaticMaker, installed_gpaw

    installed_gpaw()  # whoever plans the labels says their settings, for which its version is needed
    return GPAWStaticMaker(**params.model_dump(include=_OPTIONS["gpaw"]))


def _by_content(value: Any) -> Any:
    """Replace paths of existing files by what is in them: a model is its weights, wherever they lie."""
    if isinstance(value, dict):
        return {str(k): _by_content(v) for k, v in value.items() if k != "@version"}
    if isinstance(value, (list, tuple)):
        return [_by_content(v) for v in value]
    if isinstance(value, (str, Path)) and len(str(value)) < 1024 and Path(value).is_file():
        return file_sha256(Path(value))
    return value


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _hint(name: str, names: Iterable[str]) -> str:
    names = list(names)
    return did_you_mean(name, names) or f"; known: {', '.join(names)}"
