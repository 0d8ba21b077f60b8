"""Choose frames of files: any that ASE reads, as a stream, without a database.

`locate` finds the files, `kinds` tells what they are, `reader` reads their frames one by one, and
`choose` decides which of them to label, given what is labelled already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entropy_flows.lazy import lazy_names

if TYPE_CHECKING:
    from entropy_flows.frames.choice import ChosenFrame, FrameChoice
    from entropy_flows.frames.choose import choose_frames
    from entropy_flows.frames.locate import locate_files
    from entropy_flows.frames.pool import FramePool
    from entropy_flows.frames.reader import Frame, read_frames
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)

__all__ = [
    "ChosenFrame",
    "Frame",
    "FrameChoice",
    "FramePool",
    "choose_frames",
    "locate_files",
    "read_frames",
]
