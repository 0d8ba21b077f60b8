"""Text files as users really have them: cut off, edited by hand, with stars where a number did not fit."""

from dataclasses import dataclass

import numpy as np


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
