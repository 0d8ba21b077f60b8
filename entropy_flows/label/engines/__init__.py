"""Label engines: what turns a structure into energies, forces and a stress.

An engine has two sides. Its parameters, a class derived from `LabelParams`, are what a campaign
file says of it, and they make its static Maker. The `Engine` of a Maker says what the other parts
of the package need to know: its name, the hash of what decides its numbers, whether it works in
memory, what it can try again. There is one file for each kind of engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entropy_flows.lazy import lazy_names

if TYPE_CHECKING:
    from entropy_flows.label.engines.base import Engine
    from entropy_flows.label.engines.wrap import engine_of
    from entropy_flows.label.reasons import EngineError
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)

__all__ = ["Engine", "EngineError", "engine_of"]
