"""Text files as users have them: cut off, edited by hand, with stars for numbers too long."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from entropy_flows.label.existing import ImportedFrame


@dataclass(frozen=True)
class Damage:
    """What damages files of one format: its names, words for values, and whole lines."""

    names: tuple[str, ...]
    words: tuple[str, ...]
    lines: tuple[str, ...]

    def of(self, lines: list[str], rng: np.random.Generator) -> str:
        """One to three changes of lines, words, names or characters of a text."""
        lines = list(lines)
        for _ in range(rng.integers(1, 4)):
            if not lines:
                return ""
            self._change(lines, int(rng.integers(len(lines))), rng)
        return "".join(lines)

    def _change(self, lines: list[str], number: int, rng: np.random.Generator) -> None:
        line = lines[number]
        words = line.split(" ")
        kind = int(rng.integers(8))
        if kind == 0:
            del lines[number]
        elif kind == 1:
            lines.insert(number, lines[int(rng.integers(len(lines)))])
        elif kind == 2:
            words[int(rng.integers(len(words)))] = str(rng.choice(self.words))
            lines[number] = " ".join(words)
        elif kind == 3:
            lines[number] = line[: int(rng.integers(len(line) + 1))] + "\n"
        elif kind == 4:
            lines[number] = line.replace(str(rng.choice(self.names)), str(rng.choice(self.names)))
        elif kind == 5:
            position = int(rng.integers(len(line)))
            lines[number] = line[:position] + str(rng.choice(self.words)) + line[position + 1 :]
        elif kind == 6:
            lines[number] = str(rng.choice(self.lines))
        else:
            del lines[number:]


@dataclass(frozen=True)
class Outcome:
    """What became of many damaged files."""

    read: int
    refused: int
    longest: str
    slowest: float


def read_damaged(
    path: Path,
    text: str,
    damage: Damage,
    files: int,
    reader: Callable[[Path], Iterable[ImportedFrame]],
) -> Outcome:
    """Read a text again and again, damaged each time; only ValueError may be raised."""
    lines = text.splitlines(keepends=True)
    rng = np.random.default_rng(18)
    longest = ""
    slowest = 0.0
    read = refused = 0
    for _ in range(files):
        path.write_text(damage.of(lines, rng))
        start = time.process_time()
        try:
            frames = list(reader(path))
        except ValueError as err:
            refused += 1
            messages = [str(err)]
        else:
            messages = [frame.defect for frame in frames if frame.defect]
            good = [frame for frame in frames if frame.defect is None]
            read += len(good)
            assert all(frame.label is not None for frame in good)
        slowest = max(slowest, time.process_time() - start)
        longest = max([longest, *messages], key=len)
    print(
        f"{files} files: {read} frames read, {refused} refused, slowest {slowest:.3f} s, "
        f"longest {len(longest)}"
    )
    return Outcome(read, refused, longest, slowest)
