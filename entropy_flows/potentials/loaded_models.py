"""Loaded models that a process keeps from one job to the next.

Building a model takes time (SevenNet-0 2.2 s, the first small Allegro of a process half a second),
and the jobs of a worker use the same few models again and again. A model is known by its content:
the SHA-256 of its file, or the published name, with its arguments and the device. Outside of jobs
nothing is kept, so whoever loads a model twice has two.
"""

from __future__ import annotations

import contextlib
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from entropy_flows.digest import file_sha256

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from entropy_flows.potentials.base import ModelFamily

MAX_KEPT = 6
"""Models kept at most, those used last: the teacher, the models before and after a training, and
what is made of the new one for many cells, as it is and compiled.
"""


class _LoadedModels:
    """The models of this process, the one used last at the end."""

    models: ClassVar[OrderedDict[tuple[Any, ...], Any]] = OrderedDict()
    blocks = 0


@contextlib.contextmanager
def keep_models() -> Iterator[None]:
    """Keep the models that are loaded in the block, and take those of earlier blocks again."""
    _LoadedModels.blocks += 1
    try:
        yield
    finally:
        _LoadedModels.blocks -= 1


def forget_models() -> None:
    """Let go of all models that are kept."""
    _LoadedModels.models.clear()


def load_once(key: tuple[Any, ...], load: Callable[[], Any]) -> Any:
    """Return what was loaded under a key before, or load it; outside of `keep_models` load it."""
    if not _LoadedModels.blocks:
        return load()
    if key not in _LoadedModels.models:
        model = load()
        while len(_LoadedModels.models) >= MAX_KEPT:
            _LoadedModels.models.popitem(last=False)
        _LoadedModels.models[key] = model
    _LoadedModels.models.move_to_end(key)
    return _LoadedModels.models[key]


def shared_calculator(
    family: ModelFamily, name: str, arguments: Mapping[str, Any], device: str
) -> Calculator:
    """Return a model's calculator, as `ModelFamily.load_calculator` loads it, or one that is kept.

    A model of many cells that is built of a calculator shares it, and its parameters.
    """
    return shared_model("calculator", family, name, arguments, device)


def shared_model(
    form: str, family: ModelFamily, name: str, arguments: Mapping[str, Any], device: str
) -> Any:
    """Return a model in a form, `calculator` or `batch_model`, which a method of the family loads.

    Parameters
    ----------
    form
        What stands behind `load_` in the method's name.
    family, name, arguments, device
        The family, and the arguments of its methods.
    """

    def load() -> Any:
        return getattr(family, f"load_{form}")(name, arguments, device)

    if not family.may_be_kept:
        return load()
    path = Path(name).expanduser()
    content = file_sha256(path) if path.is_file() else name
    settings = json.dumps(dict(arguments), sort_keys=True, default=str)
    return load_once((form, type(family), content, settings, device), load)
