"""Parameters of fine-tuning, with the recipes they were chosen in as presets.

The section `train` is a union that its key `trainer` discriminates. Without the key, and for this
package's own trainers, it is `TrainParams`. A trainer of another package may have keys of its own:
its section is read as `OtherTrainParams`, which imports nothing, and becomes the trainer's own
class when the trainer is asked (`trainers.recipe_for`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from entropy_flows.params import Params
from entropy_flows.settings import Device
from entropy_flows.train.replay_params import ReplayParams

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveFloat = Annotated[float, Field(gt=0.0)]
PositiveInt = Annotated[int, Field(ge=1)]

OWN_TRAINERS = {
    "nequip": "entropy_flows.train.nequip:NequIPTrainer",
    "sevennet": "entropy_flows.train.sevennet:SevenNetTrainer",
    "mace": "entropy_flows.train.mace:MaceTrainer",
}
"""Names of this package's trainers and their import paths."""
PRESETS: dict[str, dict[str, Any]] = {
    # The published recipe, for Allegro-OAM-L and models of its size.
    "oam-l": {
        "learning_rate": 5e-5,
        "max_epochs": 500,
        "energy_coefficient": 1.0,
        "stress_coefficient": 0.01,
        "ema_decay": 0.999,
        "batch_size": 1,
        "accumulate": 4,
        "clip": 0.015,
        "lr_patience": 15,
        "early_stopping_patience": 30,
    },
    # A model of a few thousand parameters and a data set of tens of cells, trained in about a
    # minute on one CPU core. At 5e-5 such a model does not move. Where errors are near
    # 5 meV/atom, 0.1 eV/Å and 3 meV/Å³, the published coefficients leave energy and stress so
    # little of a quadratic loss that both get worse while forces improve.
    "small": {
        "learning_rate": 3e-3,
        "max_epochs": 40,
        "energy_coefficient": 20.0,
        "stress_coefficient": 100.0,
        "ema_decay": 0.98,
        "batch_size": 4,
        "accumulate": 1,
        "clip": 0.5,
        "lr_patience": 6,
        "early_stopping_patience": 15,
    },
    # Loss and batch of SevenNet's own example of fine-tuning SevenNet-0, in this loss's units. Its
    # program has neither an average of the weights, nor accumulation, nor clipping.
    "sevennet-0": {
        "learning_rate": 1e-3,
        "max_epochs": 100,
        "energy_coefficient": 1.0,
        "stress_coefficient": 16.0,
        "huber_delta": 0.01,
        "ema_decay": 0.0,
        "batch_size": 4,
        "accumulate": 1,
        "clip": None,
        "lr_patience": 6,
        "early_stopping_patience": 15,
    },
    # Coefficients, corner and clipping of the loss that MACE's foundation models were trained with,
    # and the learning rate of its guide to fine-tuning them. Its program has no accumulation.
    "mace-mp": {
        "learning_rate": 1e-4,
        "max_epochs": 100,
        "energy_coefficient": 1.0,
        "forces_coefficient": 10.0,
        "stress_coefficient": 100.0,
        "huber_delta": 0.01,
        "ema_decay": 0.995,
        "batch_size": 4,
        "accumulate": 1,
        "clip": 10.0,
        "lr_patience": 6,
        "early_stopping_patience": 15,
    },
}


class TrainParams(Params):
    """Recipe of fine-tuning: loss, optimiser, stopping, and the cells that are trained on.

    The loss of a batch is, with w the weight of the structure a component belongs to and h the
    Huber function,

        L = (c_E ⟨w h(ΔE/N)⟩ + c_F ⟨w h(ΔF)⟩ + c_σ ⟨w h(Δσ)⟩) / (c_E + c_F + c_σ)

    averaged over structures, force components and stress components.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    """Values of each preset, by key."""

    preset: Literal["oam-l", "small", "sevennet-0", "mace-mp"] = "oam-l"
    """Recipe that gives the values not named: `oam-l` for an Allegro foundation model, `small` for
    a model of a few thousand parameters, `sevennet-0` for SevenNet's, `mace-mp` for MACE's.
    """
    trainer: str | None = None
    """Trainer: `nequip`, `sevennet`, `mace`, one that an installed package registers, or the import
    path `package.module:Class` of your own; None takes that of the base model's family.
    """
    align_energies: bool = True
    """Move the base model's energies per element to the labels' zero first; see `train.align`."""
    learning_rate: PositiveFloat = 5e-5
    """Adam's step length."""
    max_epochs: PositiveInt = 500
    """Epochs after which training ends if it has not stopped before."""
    energy_coefficient: Annotated[float, Field(ge=0.0)] = 1.0
    """c_E, of the error of the energy per atom (eV)."""
    forces_coefficient: Annotated[float, Field(ge=0.0)] = 1.0
    """c_F, of the error of force components (eV/Å)."""
    stress_coefficient: Annotated[float, Field(ge=0.0)] = 0.01
    """c_σ, of the error of stress components (eV/Å³); without effect if no cell has a stress."""
    huber_delta: PositiveFloat = 1.0
    """Error beyond which the loss grows linearly, in the units of each quantity."""
    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.999
    """Decay of the moving average of the weights, per optimiser step; the average is the result.
    0: none is taken.
    """
    batch_size: PositiveInt = 1
    """Structures in a batch."""
    accumulate: PositiveInt = 4
    """Batches whose gradients are accumulated before a step."""
    clip: PositiveFloat | None = 0.015
    """Largest norm of the gradient of L; None leaves it as it is."""
    lr_patience: PositiveInt = 15
    """Epochs without improvement of the validation loss before the learning rate falls."""
    lr_factor: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    """Factor by which it falls."""
    early_stopping_patience: PositiveInt = 30
    """Epochs without improvement of the validation loss before training stops."""
    weight_bins: tuple[tuple[float | None, Annotated[float, Field(ge=0.0)]], ...] = ()
    """Loss weights by energy per atom: (upper edge in eV/atom, weight), with rising edges.

    The last edge is null, for "the rest". The published values for carbon are ((-7, 3.0),
    (-4, 1.0), (null, 0.5)). Edges belong to the system, so the default gives every structure
    weight 1.
    """
    weights: Literal["equal", "target"] = "equal"
    """equal: each labelled cell counts the same, but for `weight_bins`. target: as the target of
    the selector `variance` has cells like it, over how many of those were labelled.
    """
    max_edges: PositiveInt = 8500
    """Cells with more edges (directed neighbour pairs) are left out of training: they set the
    memory it needs.
    """
    edge_cutoff: PositiveFloat = 7.0
    """Distance up to which edges are counted, Å."""
    fractions: tuple[Fraction, Fraction, Fraction] = (0.8, 0.1, 0.1)
    """Shares of training, validation and test set; they add up to 1."""
    seed: int = Field(default=42, ge=0, lt=2**31)
    """Governs the split and the order of the batches."""
    device: Device | None = None
    """Device that training runs on: cpu, cuda or cuda:1; None takes the worker's own
    (ENTROPY_FLOWS_DEVICE).
    """
    continue_from: Literal["better", "latest"] = "better"
    """Model that the next iteration explores with and trains from: the better one of the new model
    and that before, on the validation cells (`evaluate.succession`), or the latest whatever its
    errors.
    """
    freeze: Literal["backbone"] | None = None
    """`backbone` trains the readout alone: the layers that make energies of features, with each
    element's scale and shift. None trains all parameters.
    """
    replay: ReplayParams | None = ReplayParams()
    """Cells labelled by the first model itself, to see what is forgotten, and with a weight to
    keep it; null makes none.
    """
    committee: PositiveInt = 1
    """Models trained in an iteration, alike but for their seeds, each a job of its own; the first
    is the iteration's model. For the selectors `committee` and `hybrid`, and for calibration in
    the report.
    """

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        preset = data.get("preset", cls.model_fields["preset"].default)
        return {**cls._preset_values(preset), **data}

    @classmethod
    def _preset_values(cls, preset: Any) -> Mapping[str, Any]:
        """Return a preset's values; none for an unknown one, which its field refuses."""
        return cls.presets.get(preset, {}) if isinstance(preset, str) else {}

    def keys_given(self) -> dict[str, Any]:
        """Return the keys that were given, without those whose values are the preset's."""
        # A preset's values count as set, for `_fill_from_preset` has put them among the keys.
        values = self._preset_values(self.preset)
        given = self.model_dump(exclude_unset=True)
        return {
            key: value for key, value in given.items() if key not in values or values[key] != value
        }

    @property
    def runs_on(self) -> str:
        """Return the device; `train.fine_tune` has filled in the worker's by then."""
        return self.device or "cpu"

    @property
    def replay_weight(self) -> float:
        """Return the loss weight of replay cells; 0 without."""
        return self.replay.weight if self.replay is not None else 0.0

    def identity(self, *but: str) -> dict[str, Any]:
        """Return all that decides a training's result, as plain types for a checksum.

        Left out are the device, the keys in `but`, and `continue_from`, which comes after a
        training. So is `replay`: its cells, with their weights, are among the data.
        """
        keys = self.model_dump(mode="json", exclude={"continue_from", "replay", *but})
        if self.freeze is None:
            # Checksums from before there was such a key stay what they were, and a recipe of
            # another package need not have it.
            keys.pop("freeze", None)
        if self.weights == "equal":
            keys.pop("weights", None)
        # The device does not decide, but stored checksums have one.
        return {**keys, "device": "cpu"}

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if abs(sum(self.fractions) - 1.0) > 1e-6 or self.fractions[0] == 0.0:
            raise ValueError(
                f"fractions {self.fractions} must add up to 1 and leave something to train on"
            )
        if self.energy_coefficient + self.forces_coefficient == 0.0:
            raise ValueError(
                "energy_coefficient and forces_coefficient are both 0: there is nothing to train on"
            )
        self._check_weight_bins()
        return self

    def offered_keys(self) -> list[str]:
        """Return the keys in use that only a trainer has which offers them."""
        used = {
            "freeze": self.freeze is not None,
            "replay": self.replay_weight > 0.0,
            "weights": self.weights == "target",
        }
        return [key for key, is_used in used.items() if is_used]

    def _check_weight_bins(self) -> None:
        if not self.weight_bins:
            return
        edges = [edge for edge, _ in self.weight_bins]
        finite = [edge for edge in edges[:-1] if edge is not None]
        is_rising = finite == sorted(set(finite))
        if edges[-1] is not None or len(finite) != len(edges) - 1 or not is_rising:
            raise ValueError(
                f"weight_bins need rising upper edges that end with null, got edges {edges}"
            )


class OtherTrainParams(TrainParams):
    """Recipe for a trainer of another package, which is not imported yet.

    Keys that are not of `TrainParams` are the trainer's own; it checks them when it is asked.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    model_config = ConfigDict(extra="allow")
    preset: str = ""  # type: ignore[assignment]  # the trainer's own presets are not known here
    """Recipe that gives the values not named: one of the trainer's own."""

    @model_serializer(mode="wrap")
    def _keys_given_alone(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write the keys that were given: the trainer's own class has the defaults."""
        keys: dict[str, Any] = dump(self)
        return {key: value for key, value in keys.items() if key in self.model_fields_set}


def _by_trainer(section: Any) -> Any:
    """Read a mapping as the class of parameters that its key `trainer` stands for."""
    if not isinstance(section, Mapping):
        return section
    if section.get("trainer") == "mace":
        from entropy_flows.train.mace_params import MaceParams

        return MaceParams.model_validate(section)
    if section.get("trainer") in (None, *OWN_TRAINERS):
        return section
    if not isinstance(section["trainer"], str):
        return section
    return OtherTrainParams.model_validate(section)


AnyTrainParams = Annotated[SerializeAsAny[TrainParams], BeforeValidator(_by_trainer)]
"""The section `train`: a union discriminated by its key `trainer`."""
