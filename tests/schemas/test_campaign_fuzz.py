"""Campaign files that are damaged at random: each is taken, or refused in one line, at once."""

import random
import time
from copy import deepcopy
from pathlib import Path

import pytest
import yaml

import entropy_flows.cli
from entropy_flows.schemas import load_settings

ROOT = Path(__file__).parents[2]
FILES = [
    *sorted((Path(entropy_flows.cli.__file__).parent / "templates").glob("*.yaml")),
    *sorted((ROOT / "examples").glob("*.yaml")),
]
SCREEN = 24 * 80
VALUES = [
    None,
    True,
    False,
    0,
    -1,
    10**30,
    -(10**19),
    1.5,
    -0.0,
    1e300,
    float("nan"),
    float("inf"),
    "",
    "no",
    "9" * 30,
    "x" * 5000,
    "../x",
    "\x1b[2J",
    "☃",
    [],
    [[]],
    ["small"],
    {},
    {"a": 1},
    {"kind": ["gom"]},
    [[1, 2], 3],
    [None] * 300,
    {"@module": "os", "@class": "system"},
    list(range(500)),
    "{",
    "a.b.C",
    "1e400",
    [{"name": "a"}] * 60,
]
LINES = [
    "\t- a",
    "a: b: c",
    "? x",
    "&a [*a]",
    "!!python/object:os.system {}",
    "name: no",
    "...",
    "- x",
    "[" * 500,
]


def places(value, where=()):
    """Every place in a file's content."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in items:
        yield (*where, key)
        yield from places(item, (*where, key))


def mutated(text: str, draw: random.Random) -> bytes:
    """A file with one to four values, keys, lines or bytes changed."""
    if draw.random() < 0.6:
        content = yaml.safe_load(text)
        for _ in range(draw.randint(1, 4)):
            *above, key = draw.choice(list(places(content)))
            part = content
            for step in above:
                part = part[step]
            change = draw.random()
            if change < 0.7:
                part[key] = deepcopy(draw.choice(VALUES))
            elif change < 0.85 or not isinstance(part, dict):
                del part[key]
            else:
                part[draw.choice(["x", "nmae", "y" * 900, "@class"])] = part.pop(key)
            if not content:
                break
        return yaml.safe_dump(content, allow_unicode=draw.random() < 0.5).encode()
    data = bytearray(text.encode())
    for _ in range(draw.randint(1, 4)):
        index = draw.randrange(len(data))
        change = draw.random()
        if change < 0.4:
            data[index] = draw.randrange(256)
        elif change < 0.6:
            del data[index : index + draw.randint(1, 40)]
        elif change < 0.8:
            data[index:index] = f"\n{draw.choice(LINES)}\n".encode()
        else:
            encoding = draw.choice(["utf-16", "latin-1", "utf-8-sig"])
            data = bytearray(bytes(data).decode(errors="replace").encode(encoding, "replace"))
    return bytes(data)


def refusals(count: int, seed: int, path: Path) -> list[tuple[str, float]]:
    """What is said of each file, "" of a good one, and how long it took (s)."""
    draw = random.Random(seed)
    texts = [file.read_text() for file in FILES]
    found = []
    for _ in range(count):
        path.write_bytes(mutated(draw.choice(texts), draw))
        started = time.process_time()
        message = ""
        try:
            load_settings(path)
        except ValueError as err:
            message = str(err)
        found.append((message, time.process_time() - started))
    return found


def check(found: list[tuple[str, float]], path: Path) -> None:
    for message, seconds in found:
        assert message == "" or message.startswith((str(path), f"campaign file {path}"))
        assert message.isprintable()
        assert len(message) < SCREEN
        assert seconds < 1
    refused = sum(bool(message) for message, _ in found)
    assert 0.5 < refused / len(found) < 1  # the damage is felt, and not all is fatal


def test_damaged_files_are_refused_in_a_line(tmp_path):
    path = tmp_path / "campaign.yaml"
    load_settings(FILES[0])  # imports
    check(refusals(200, 1, path), path)


@pytest.mark.slow
def test_many_damaged_files_are_refused_in_a_line(tmp_path):
    path = tmp_path / "campaign.yaml"
    load_settings(FILES[0])
    found = refusals(2000, 2, path)
    check(found, path)
    print(
        f"longest message {max(len(message) for message, _ in found)}, "
        f"longest time {max(s for _, s in found):.2f} s"
    )
