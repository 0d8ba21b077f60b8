"""vasprun.xml as a stream: its head by pymatgen, then one ionic step after the other.

A step is whole once its </calculation> is read, whatever becomes of the file after it. Steps of
VASP's ML force field stand outside of <calculation> and are only counted.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lxml import etree

from entropy_flows.faults import error_line, is_machine_fault
from entropy_flows.label.compressed import DAMAGE, open_binary
from entropy_flows.label.steps import StepRule

if TYPE_CHECKING:
    from pymatgen.io.vasp import Vasprun

REASON_LENGTH = 200
"""Characters of an error that are shown."""
_READ_BYTES = 1 << 20
_FIRST_STEP = re.compile(rb"<calculation[\s>]|<structure\s*>")
_ROOT = re.compile(rb"<([A-Za-z][\w.:-]*)[\s>]")


class VasprunError(ValueError):
    """A file that no label can be read from: not VASP's, or damaged before its first ionic step."""


@dataclass(eq=False)
class VaspOutput:
    """The content of a vasprun.xml.

    Attributes
    ----------
    head
        Everything before the first step: INCAR, parameters, k points, atoms, pseudopotentials.
    steps
        Number, from 1, of each step that was asked for → pymatgen's dictionary of it, or why it is
        not readable.
    n_steps
        Whole ab initio steps.
    n_force_field
        Steps of VASP's ML force field.
    damage
        Why the file ends before its end, or None.
    """

    head: Vasprun
    steps: dict[int, dict[str, Any] | str] = field(default_factory=dict)
    n_steps: int = 0
    n_force_field: int = 0
    damage: str | None = None


def read_output(path: Path, rule: StepRule) -> VaspOutput:
    """Read the head and some ionic steps of a vasprun.xml.

    Parameters
    ----------
    path
        The file, compressed or not.
    rule
        Which steps to read.

    Returns
    -------
    VaspOutput
        Head, steps, and where the file ends.

    Raises
    ------
    VasprunError
        If not even the head can be read.
    """
    output = VaspOutput(_head(path))
    latest = None
    try:
        for element in _elements(path):
            if element.tag == "structure":
                output.n_force_field += 1
                continue
            output.n_steps += 1
            latest = element
            if rule.takes(output.n_steps):
                output.steps[output.n_steps] = parse_step(output.head, element)
    except etree.XMLSyntaxError as err:
        output.damage = (
            f"damaged: {error_line(err, REASON_LENGTH)}" if _is_complete(path) else "cut off"
        )
    except DAMAGE as err:
        if is_machine_fault(err):
            raise
        output.damage = f"cut off or damaged: {error_line(err, REASON_LENGTH)}"
    if rule.every is None and latest is not None:
        output.steps[output.n_steps] = parse_step(output.head, latest)
    return output


def stream_steps(path: Path) -> Iterator[tuple[Vasprun, Any]]:
    """Yield the head of a vasprun.xml with the element of one step after the other.

    Steps of VASP's ML force field are among them, as <structure>. An element is to be read before
    the next one is asked for.

    Raises
    ------
    VasprunError
        If not even the head can be read.
    lxml.etree.XMLSyntaxError, OSError, EOFError, lzma.LZMAError, zlib.error
        Where the file is cut off or damaged.
    """
    head = _head(path)
    for element in _elements(path):
        yield head, element


def parse_step(head: Vasprun, element: Any) -> dict[str, Any] | str:
    """Return one ionic step as pymatgen has it, or why it is not readable."""
    try:
        return head._parse_ionic_step(element)
    except Exception as err:  # numbers that ran together, rows that are missing
        if is_machine_fault(err):
            raise
        return f"not readable: {error_line(err, REASON_LENGTH)}"


def _head(path: Path) -> Vasprun:
    """Parse what stands before the first ionic step."""
    from pymatgen.io.vasp import Vasprun

    content, has_steps = _before_first_step(path)
    root = _ROOT.search(content)
    if root is None or root[1] != b"modeling":
        beginning = "nothing"
        if root is not None:
            beginning = f"<{root[1].decode()}>"
        elif content.strip():
            beginning = repr(content[:40])[1:]
        raise VasprunError(f"no vasprun.xml: expected <modeling>, got {beginning}")
    head = Vasprun.__new__(Vasprun)  # its constructor wants a whole file with steps
    head.filename = path
    head.exception_on_bad_xml = True
    try:
        head._parse(
            io.BytesIO(content + b"</modeling>" if has_steps else content),
            parse_dos=False,
            parse_eigen=False,
            parse_projected_eigen=False,
        )
        atoms = head.atomic_symbols
    except Exception as err:  # a head that was cut off or overwritten ends in many ways
        if is_machine_fault(err):
            raise
        raise VasprunError(
            f"cut off or damaged before its first ionic step: {error_line(err, REASON_LENGTH)}"
        ) from None
    if not atoms:
        raise VasprunError("there are no atoms in it")
    return head


def _before_first_step(path: Path) -> tuple[bytes, bool]:
    """Read the bytes before the first ionic step; say whether there is one."""
    content = bytearray()
    try:
        with open_binary(path) as stream:
            while chunk := stream.read(_READ_BYTES):
                start = max(0, len(content) - 64)
                content += chunk
                if match := _FIRST_STEP.search(content, start):
                    return bytes(content[: match.start()]), True
    except DAMAGE as err:
        if is_machine_fault(err):
            raise
        raise VasprunError(
            f"cut off or damaged before its first ionic step: {error_line(err, REASON_LENGTH)}"
        ) from None
    return bytes(content), False


def _elements(path: Path) -> Iterator[Any]:
    """Yield each <calculation>, and each nameless <structure> beside them, once it is whole."""
    parser = etree.XMLPullParser(events=("end",), tag=("calculation", "structure"), huge_tree=True)
    with open_binary(path) as stream:
        while chunk := stream.read(_READ_BYTES):
            yield from _fed(parser, partial(parser.feed, chunk))
    yield from _fed(parser, parser.close)


def _fed(parser: Any, feed: Callable[[], Any]) -> Iterator[Any]:
    """Yield the elements that a piece of the file completes, also if it ends in an error."""
    error = None
    try:
        feed()
    except etree.XMLSyntaxError as err:
        error = err
    yield from _whole(parser)
    if error is not None:
        raise error


def _whole(parser: Any) -> Iterator[Any]:
    for _, element in parser.read_events():
        parent = element.getparent()
        if parent is None or parent.tag != "modeling" or element.get("name") is not None:
            continue
        while element.getprevious() is not None:  # what was read before gives its memory back
            del parent[0]
        yield element


def _is_complete(path: Path) -> bool:
    """Return whether a file ends as a vasprun.xml does."""
    tail = b""
    with open_binary(path) as stream:
        while chunk := stream.read(_READ_BYTES):
            tail = (tail + chunk)[-64:]
    return tail.rstrip().endswith(b"</modeling>")
