"""Where the file of a model is that a campaign file names."""

from __future__ import annotations

from pathlib import Path

from entropy_flows.environments import absolute_environment
from entropy_flows.potentials.families import ENVIRONMENT, file_suffix
from entropy_flows.potentials.names import split_model, with_arguments


def locate_model(model: str, base: Path) -> str:
    """Return a model's name, or its path if it is a file.

    The path is relative to `base`, or to the models shipped with the package. Keyword arguments
    stay behind the name; the path of an environment among them is relative to `base`, too.

    Raises
    ------
    ValueError
        If it looks like a file and there is none.
    """
    name, arguments = split_model(model)
    if ENVIRONMENT in arguments:
        environment = absolute_environment(str(arguments[ENVIRONMENT]), base)
        arguments[ENVIRONMENT] = environment
    if not file_suffix(model):
        return with_arguments(name, arguments)
    shipped = Path(__file__).parents[1] / "models" / name.removeprefix("shipped:")
    path = shipped if name.startswith("shipped:") else base / name
    if not path.is_file():
        raise ValueError(f"model file {path} does not exist")
    return with_arguments(path.resolve(), arguments)
