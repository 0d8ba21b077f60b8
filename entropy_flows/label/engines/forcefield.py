"""Force fields and other ASE calculators as label engines: a teacher, never called DFT."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from entropy_flows.label.engines.contents import paths_replaced
from entropy_flows.label.engines.maker import MakerEngine, import_object
from entropy_flows.label.params import LabelParams
from entropy_flows.label.process_state import torch_dtype_kept
from entropy_flows.potentials import check_name, environment_of
from entropy_flows.potentials.loaded_models import load_once
from entropy_flows.potentials.names import ModelName, split_model, with_arguments
from entropy_flows.potentials.sevennet import check_sevennet, sevennet_key
from entropy_flows.spelling import unknown

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from jobflow import Maker
    from pymatgen.core import Structure

    from entropy_flows.label.engines.base import Engine

_ELECTRONIC = ("gpaw", "tblite", "xtb", "dftbplus", "pyscf", "psi4", "abinit")
"""Packages of ASE calculators with electrons in them: such an engine is no teacher."""
_FORMULAS = tuple(f"ase.calculators.{name}." for name in ("eam", "emt", "lj", "morse", "tersoff"))
"""Modules of ASE's potentials that are a formula, whose labels cost milliseconds."""


class ForceFieldParams(LabelParams):
    """A force field or any other ASE calculator: a teacher, whose labels cost seconds."""

    engine: Literal["forcefield"] = "forcefield"
    """Names this engine."""
    model: ModelName = "SevenNet-0"
    """Force field: SevenNet-0 or another of SevenNet's names, one of atomate2's, or the import path
    of an ASE calculator ("ase.calculators.emt.EMT"). One with arguments, or in an environment of
    its own, is written as a base model is: {name: 7net-mf-0, modal: PBE}, {name: mace.model,
    environment: mace}."""
    calculator_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the force field's calculator."""

    def make_maker(self) -> Maker:
        """Build atomate2's Maker of the force field.

        Raises
        ------
        ValueError
            If there is no such force field.
        """
        from atomate2.forcefields import MLFF
        from atomate2.forcefields.jobs import ForceFieldStaticMaker

        force_field: Any
        model, arguments = self._split()
        if environment_of(self.model) is not None:
            from entropy_flows.label.engines.in_environment import CALCULATOR

            check_name(self.model)
            module, _, function = CALCULATOR.rpartition(".")
            force_field = {"@module": module, "@callable": function}
            arguments = {"model": with_arguments(model, arguments)}
        elif (key := sevennet_key(model)) is not None:
            check_sevennet(model)
            force_field = MLFF.SevenNet
            arguments = {"model": key, **arguments}
        elif "." in model:
            module, _, function = model.rpartition(".")
            import_object(f"{module}:{function}")
            force_field = {"@module": module, "@callable": function}
        else:
            force_field = _force_field_of_atomate2(model)
        return ForceFieldStaticMaker(force_field_name=force_field, calculator_kwargs=arguments)

    def make_engine(self) -> Engine:
        """Return the engine; that of a model of SevenNet's makes its Maker when it needs it.

        Raises
        ------
        ValueError
            As of `make_maker`.
        """
        model, arguments = self._split()
        key = sevennet_key(model)
        if key is None or environment_of(self.model) is not None:
            return super().make_engine()
        check_sevennet(model)
        return PlannedSevenNet(self, {"model": key, **arguments})

    def _split(self) -> tuple[str, dict[str, Any]]:
        """Return the model's name, and the arguments beside it and of the section."""
        model, arguments = split_model(self.model)
        return model, {**arguments, **self.calculator_kwargs}

    @field_validator("model")
    @classmethod
    def _is_absolute(cls, model: str) -> str:
        """Refuse an environment's relative path: labels are made in another folder."""
        environment = environment_of(model)
        if environment is not None and environment.startswith("."):
            raise ValueError(
                f"environment {environment} of a label engine: expected a name or an absolute path"
            )
        return model


class ForceFieldEngine(MakerEngine):
    """atomate2's Maker of a force field, whose calculator stays in memory from cell to cell."""

    in_memory = True

    @staticmethod
    def runs(maker: Any) -> bool:
        """Return whether a Maker has a force field's calculator."""
        return hasattr(maker, "calculator_meta")

    def __init__(self, maker: Any):
        super().__init__(maker)
        self.calculator_meta = maker.calculator_meta
        self.calculator_kwargs: dict[str, Any] = maker.calculator_kwargs

    @property
    def has_spin(self) -> bool | None:
        """False: force fields take no moments."""
        return False

    @property
    def labels_per_job(self) -> int:
        """Labels that take a few seconds: of a formula 128, of a model 16, with electrons 8."""
        if self._has_electrons:
            return super().labels_per_job
        return 128 if self._is_formula else 16

    @property
    def _is_formula(self) -> bool:
        """True if the calculator is one of ASE's potentials that are a formula."""
        return str(self.calculator_meta).startswith(_FORMULAS)

    @property
    def name(self) -> str:
        """Name of the model, such as "SevenNet-0 (teacher, not DFT)"."""
        name = self._calculator_name
        if self._has_electrons:
            return name
        model = str(self.calculator_kwargs.get("model", ""))
        if model.startswith("7net"):
            name = model.replace("7net", "SevenNet")
            modal = self.calculator_kwargs.get("modal")
            name = f"{name} {modal}" if modal else name
        elif model:
            name = f"{name} {Path(model).name}"
        return f"{name} (teacher, not DFT)"

    @property
    def _has_electrons(self) -> bool:
        """True if the calculator's package is no force field's."""
        return str(self.calculator_meta).split(".")[0] in _ELECTRONIC

    @property
    def _calculator_name(self) -> str:
        """Name of atomate2's force field, or of the calculator's class."""
        meta = self.calculator_meta
        return getattr(meta, "value", str(meta).rsplit(".", 1)[-1])

    def hash_input(self) -> dict[str, Any]:
        """Return the calculator, its package's version and its arguments but for the device."""
        from atomate2.forcefields.utils import _get_pkg_version

        kwargs = {k: v for k, v in self.calculator_kwargs.items() if k != "device"}
        return {
            "code": str(self.calculator_meta),
            "version": _get_pkg_version(self.calculator_meta),
            "kwargs": paths_replaced(kwargs),
        }

    def calculator(self) -> Calculator | None:
        """Return the calculator; the default dtype of torch stays what it was."""
        with torch_dtype_kept():
            # the Maker makes its calculator when it has none
            if getattr(self.maker, "_calculator", None) is None and self._may_be_kept:
                key = (type(self.maker), self.hash, str(self.calculator_kwargs.get("device")))
                make = self.maker._get_calculator  # type: ignore[attr-defined]
                self.maker._calculator = load_once(key, make)  # type: ignore[attr-defined]
            return self.maker.calculator  # type: ignore[attr-defined]

    @property
    def _may_be_kept(self) -> bool:
        """True for a force field that atomate2 knows: an import path may be other code later."""
        return hasattr(self.calculator_meta, "value") and not self._has_electrons

    def prepare(self, structure: Structure) -> Structure:
        """Return the structure as it is; the Maker has its calculator from here on."""
        self.calculator()
        return structure

    def models(self) -> list[str]:
        """Return the model's file, or its name with its arguments."""
        arguments = dict(self.calculator_kwargs)
        files = [
            str(value)
            for value in arguments.values()
            if isinstance(value, (str, Path)) and Path(value).is_file()
        ]
        if files:
            return files
        name = arguments.pop("model", None)
        if name is None:
            name = getattr(self.calculator_meta, "value", self.calculator_meta)
        plain = {k: v for k, v in arguments.items() if isinstance(v, (str, int, float, bool))}
        return [with_arguments(str(name), plain)]


class PlannedSevenNet(ForceFieldEngine):
    """A model of SevenNet's, whose Maker is made when something is asked that only it knows.

    atomate2 takes seconds to import.

    Parameters
    ----------
    params
        Parameters of the engine.
    calculator_kwargs
        SevenNet's own name of the model, and its arguments.
    """

    _has_electrons = False
    _calculator_name = "SevenNet"
    _is_formula = False

    def __init__(self, params: ForceFieldParams, calculator_kwargs: dict[str, Any]):
        self.params = params
        self.calculator_kwargs = calculator_kwargs

    @cached_property
    def maker(self) -> Maker:  # type: ignore[override]
        """atomate2's Maker."""
        return self.params.make_maker()

    @cached_property
    def calculator_meta(self) -> Any:
        """atomate2's word for SevenNet."""
        return self.maker.calculator_meta  # type: ignore[attr-defined]


def _force_field_of_atomate2(model: str) -> Any:
    """Return atomate2's member of a name or a value."""
    from atomate2.forcefields import MLFF

    members = {
        alias: member
        for member in MLFF
        for alias in (member.name, member.value)
        if member.name != "Forcefield"
    }
    if model not in members:
        raise ValueError(unknown("force field", model, ["SevenNet-0", *members]))
    return members[model]
