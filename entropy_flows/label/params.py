"""Parameters of label engines: the section `label` of a campaign file, a union on `engine`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from entropy_flows.label.outlier_params import OutlierParams
from entropy_flows.params import Params
from entropy_flows.plugins import ExtensionPoint, is_import_path

if TYPE_CHECKING:
    from jobflow import Maker

    from entropy_flows.label.engines import Engine


class LabelParams(Params):
    """The label engine, and how many structures a job takes.

    Each engine has a class of its own, derived from this one, with the keys that it takes beside
    these. `LabelParams(engine=..., ...)` and `LabelParams.model_validate(...)` return an object of
    the engine's class, and so does a field of this type: it is a discriminated union on `engine`,
    to which any package may add a class by an entry point.
    """

    renamed: ClassVar[dict[str, str]] = {
        "ladder": "scf_retries",
        "min_distance": "min_distance_fraction",
    }

    engine: str = "vasp-pbe"
    """`vasp-pbe`, `vasp-r2scan-rvv10`, `vasp-matpes-pbe`, `vasp-matpes-r2scan`, `vasp-mp`,
    `vasp-omat`, `gpaw-pbe`, `cp2k-pbe`, `qe-pbe`, `forcefield`, or `custom` (implied by `maker`);
    the name or the import path of an engine of another package.
    """
    batch_size: int | None = Field(None, ge=1)
    """Structures per job. None is 1 for a program that is run, 16 for a model, and 128 for a
    potential that is a formula, of which a job would cost more than many labels.
    """
    approve: bool = False
    """Whether chosen cells wait until somebody approves that they are labelled, by
    `entropy-flows approve`.
    """
    top_up: int = Field(0, ge=0, le=3)
    """Times that an iteration replaces its failed labels by the best candidates left, on top of
    `max_labels`.
    """
    outliers: OutlierParams = Field(default_factory=OutlierParams)
    """Limits beyond which a label is flagged instead of trained on."""
    scf_retries: int = Field(2, ge=0, le=3)
    """Times that a VASP run whose electronic steps ran out is run again, with other settings that
    lead to the same numbers.
    """
    keep_documents: bool = True
    """Whether the task documents of an engine that works through files are kept beside the labels,
    in jobflow's job store.
    """
    min_distance_fraction: float = Field(0.5, ge=0, lt=1)
    """Shortest distance, as a fraction of the sum of covalent radii, under which a cell is not
    calculated.
    """

    def __new__(cls, **data: Any) -> Self:
        """Make an object of the engine's class, whose `__init__` Python calls next."""
        chosen = type(cls.model_validate(data)) if cls is LabelParams else cls
        return super().__new__(chosen)

    @abstractmethod
    def make_maker(self) -> Maker:
        """Build the engine's static Maker.

        Raises
        ------
        EngineError
            If the engine can label nothing with these parameters, or is not installed here.
        ValueError
            If there is no such Maker or model.
        """

    def make_engine(self) -> Engine:
        """Return the engine, without its Maker where all that is asked of it is known without.

        Raises
        ------
        EngineError, ValueError
            As of `make_maker`.
        """
        from entropy_flows.label.engines import engine_of

        return engine_of(self.make_maker())

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the union for this class, and a class of its own for each engine."""
        if Params not in cls.__bases__:
            return handler(source)
        return core_schema.no_info_before_validator_function(
            cls._of_its_engine, core_schema.is_instance_schema(cls)
        )

    @staticmethod
    def _of_its_engine(data: Any) -> Any:
        """Make a mapping the parameters of its engine."""
        if isinstance(data, Mapping):
            return _class_of(data).model_validate(data)
        if not isinstance(data, LabelParams):
            message = "Input should be a mapping or LabelParams"
            raise PydanticCustomError("model_type", message, {"class_name": "LabelParams"})
        return data

    @model_validator(mode="before")
    @classmethod
    def _keys_of_this_engine(cls, data: Any) -> Any:
        """Refuse the keys of another engine, by name."""
        if not isinstance(data, Mapping):
            return data
        engine = _engine_name(data)
        if engine not in BUILTIN:
            return data
        if (data.get("maker") is None) == (engine == "custom"):
            raise ValueError("give `maker` with engine 'custom', and only with it")
        others = {key for name in BUILTIN for key in ENGINES.params_class(name).model_fields}
        idle = sorted(str(key) for key in data if key in others - set(cls.model_fields))
        if idle:
            hint = "; set it on the Maker itself" if engine == "custom" else ""
            raise ValueError(f"{', '.join(idle)} would have no effect with engine '{engine}'{hint}")
        return data


BUILTIN = {
    "vasp-pbe": "entropy_flows.label.engines.vasp:VaspParams",
    "vasp-r2scan-rvv10": "entropy_flows.label.engines.vasp:VaspParams",
    **dict.fromkeys(
        ("vasp-matpes-pbe", "vasp-matpes-r2scan", "vasp-mp", "vasp-omat"),
        "entropy_flows.label.engines.vasp_published:PublishedVaspParams",
    ),
    "gpaw-pbe": "entropy_flows.label.engines.gpaw:GpawParams",
    "cp2k-pbe": "entropy_flows.label.engines.cp2k:Cp2kParams",
    "qe-pbe": "entropy_flows.label.engines.espresso:EspressoParams",
    "forcefield": "entropy_flows.label.engines.forcefield:ForceFieldParams",
    "custom": "entropy_flows.label.engines.maker:CustomParams",
}
"""Name → class of parameters; the first is the default."""
OTHER = "entropy_flows.label.engines.other:OtherParams"
"""Class of parameters of an engine that is named by an import path."""
ENGINES = ExtensionPoint("label engine", "entropy_flows.engines", LabelParams, BUILTIN, "engine")
"""Label engines of this package, and those that others declare."""


def make_static_maker(params: LabelParams) -> Maker:
    """Build the engine's static Maker; see `LabelParams.make_maker`."""
    return params.make_maker()


def _engine_name(data: Mapping[str, Any]) -> str:
    """Return the engine that a mapping asks for: `maker` implies `custom`."""
    implied = "custom" if data.get("maker") is not None else ENGINES.default
    return str(data.get("engine", implied))


def _class_of(data: Mapping[str, Any]) -> type[LabelParams]:
    """Return the class of an engine's parameters; a path's module is not imported for it."""
    name = _engine_name(data)
    path = OTHER if is_import_path(name) else name
    return ENGINES.params_class(path)  # type: ignore[return-value]
