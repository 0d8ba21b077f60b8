"""Count what makes the package hard to read, and hold it to limits that only ever go down.

    python tools/style.py            a table of counts and limits
    python tools/style.py --list     the lines, too
    python tools/style.py --check    the same as the first; ends with 1 where a limit is exceeded

Counts are of the syntax tree, so strings and comments do not disturb them. Paths may be given, of
folders or files; without them it is the whole package.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "entropy_flows"
MAX_LINE = 100
MAX_FUNCTION = 40
MAX_LONG_KERNELS = 3
"""Loops of compiled kernels, in which a call would cost more than its reader gains."""
MAX_PACKED_SHARE = 0.02
"""Share of assignments that may be packed; jobflow, atomate2 and their kin have 0.1 to 2.1 %."""
MIN_COMMENT_SHARE = 0.004
"""Share of lines that are comments at least; 1.7 to 5.5 % in the same packages."""
FRAGMENT_STARTS = frozenset(
    [
        "What",
        "Whether",
        "How",
        "Where",
        "Which",
        "Why",
        "When",
        "Of",
        "As",
        "Its",
        "Their",
        "Those",
        "These",
        "By",
        "With",
        "Between",
        "Than",
    ]
)
"""First words that begin a noun clause or a preposition, never a sentence of its own."""
PRIVATE_NAMES = frozenset(
    [
        "place",
        "places",
        "told",
        "found",
        "opened",
        "kept",
        "known",
        "wanted",
        "said",
        "made",
        "own",
        "part",
        "parting",
        "apart",
        "between",
        "near",
        "look",
        "needs",
        "remember",
        "asked_for",
        "unfit",
        "identified",
        "tally",
        "patiently",
        "give_back",
        "leave",
        "saving_first",
        "answering_sigterm",
    ]
)
"""Names that say nothing of what they hold; the field has a word for each."""
PRIVATE_CLASSES = frozenset(
    [
        "Hill",
        "Pull",
        "Forces",
        "Parts",
        "Prescaled",
        "Fingerprinted",
        "Judged",
        "Found",
        "Existing",
        "Mended",
        "Evidence",
        "Hardest",
        "Outcome",
        "Spectra",
        "Space",
        "Survey",
        "Converging",
        "Subject",
    ]
)
PRIVATE_CONSTANTS = frozenset(
    ["TOGETHER", "MOST", "FEW", "SAME", "DECISIVE", "SHOWN", "MANY", "OTHERS", "CHUNK"]
)
PRIVATE = PRIVATE_NAMES | PRIVATE_CLASSES | PRIVATE_CONSTANTS
HELPERS = {
    "digest.py": {"hexdigest"},
    "files.py": {"os.replace", "NamedTemporaryFile", "mkstemp"},
    "spelling.py": {"get_close_matches"},
    "report/terminal.py": {"rich.table"},
}
"""File → what only it may call or import, since others take its functions."""


@dataclass(frozen=True)
class Source:
    """One file of the package: its text and its syntax tree."""

    path: Path
    text: str = field(repr=False)
    tree: ast.Module = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Source:
        """Read and parse a file."""
        text = path.read_text()
        return cls(path, text, ast.parse(text))

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes of the tree, walked once for all counts."""
        return list(ast.walk(self.tree))


def packed_assignments(source: Source) -> Iterator[int]:
    """Yield the lines where one statement assigns a tuple with a call in it to several names."""
    for node in source.nodes:
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Tuple):
            continue
        has_call = any(isinstance(inner, ast.Call) for inner in ast.walk(node.value))
        if isinstance(node.value, ast.Tuple) and has_call:
            yield node.lineno


def long_lines(source: Source) -> Iterator[int]:
    """Yield the lines that are too long to be read at a glance."""
    for number, line in enumerate(source.text.splitlines(), 1):
        if len(line) > MAX_LINE:
            yield number


def docstring_fragments(source: Source) -> Iterator[int]:
    """Yield the lines of docstrings that are no sentence when read alone."""
    documented = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in source.nodes:
        if not isinstance(node, documented):
            continue
        docstring = ast.get_docstring(node)
        if docstring and docstring.split()[0].strip(",.;:") in FRAGMENT_STARTS:
            yield node.lineno


def private_words(source: Source) -> Iterator[int]:
    """Yield the lines that bind a name of the private vocabulary."""
    for node in source.nodes:
        names: list[str] = []
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names = [node.id]
        elif isinstance(node, ast.arg):
            names = [node.arg]
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names = [node.name]
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names = [node.attr]
        if any(name.strip("_") in PRIVATE for name in names):
            yield node.lineno


def long_functions(source: Source) -> Iterator[int]:
    """Yield the functions whose body is too long to be seen at once, without their docstring."""
    for node in source.nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            if (node.end_lineno or 0) - first.lineno + 1 > MAX_FUNCTION:
                yield node.lineno


def fireworks_outside_launch(source: Source) -> Iterator[int]:
    """Yield the imports of FireWorks outside `launch`, which alone may know of it."""
    if "launch" in source.path.relative_to(PACKAGE).parts:
        return
    for node in source.nodes:
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module]
        if any(re.match(r"fireworks\b|jobflow\.managers\.fireworks", module) for module in modules):
            yield node.lineno


def duplicate_helpers(source: Source) -> Iterator[int]:
    """Yield the lines that do by themselves what a helper of the package is for."""
    path = source.path.relative_to(PACKAGE).as_posix()
    reserved = {name for file, names in HELPERS.items() if file != path for name in names}
    for node in source.nodes:
        if isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            names = {node.attr, f"{owner}.{node.attr}"}
        elif isinstance(node, ast.ImportFrom):
            names = {node.module or "", *(alias.name for alias in node.names)}
        else:
            continue
        if names & reserved:
            yield node.lineno


COUNTS: dict[str, tuple[Callable[[Source], Iterator[int]], int]] = {
    "packed assignments": (packed_assignments, 0),
    f"lines over {MAX_LINE} characters": (long_lines, 0),
    "docstring fragments": (docstring_fragments, 0),
    "private words": (private_words, 0),
    f"functions over {MAX_FUNCTION} lines": (long_functions, MAX_LONG_KERNELS),
    "imports of FireWorks outside launch": (fireworks_outside_launch, 0),
    "duplicate helpers": (duplicate_helpers, 0),
}
"""Name of a count → how it is counted, and the most that is allowed."""


def comment_share(sources: list[Source]) -> float:
    """Return the share of lines that are comments of their own."""
    lines = comments = 0
    for source in sources:
        lines += source.text.count("\n")
        for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
            alone = token.line.lstrip().startswith("#")
            comments += token.type == tokenize.COMMENT and alone
    return comments / lines


def packed_share(sources: list[Source]) -> float:
    """Return the share of assignments that are packed."""
    assignments = sum(
        isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign))
        for source in sources
        for node in source.nodes
    )
    packed = sum(1 for source in sources for _ in packed_assignments(source))
    return packed / assignments


def import_circles(sources: list[Source]) -> list[tuple[str, str]]:
    """Return the pairs of folders that import each other, imports inside functions included."""
    arrows: set[tuple[str, str]] = set()
    for source in sources:
        folder = source.path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in source.nodes:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "entropy_flows."
            ):
                arrows.add((folder, str(node.module).split(".")[1]))
    return sorted((one, other) for one, other in arrows if one < other and (other, one) in arrows)


def main() -> int:
    """Print the table; return 1 if a limit is exceeded and `--check` was given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="End with 1 where a limit is exceeded."
    )
    parser.add_argument("--list", action="store_true", help="Print each line.")
    parser.add_argument("paths", nargs="*", type=Path, help="Folders or files; the whole package.")
    options = parser.parse_args()
    roots = [path.resolve() for path in options.paths] or [PACKAGE]
    files = [
        file
        for root in roots
        for file in ([root] if root.is_file() else sorted(root.rglob("*.py")))
    ]
    sources = [Source.read(file) for file in files]
    exceeded = 0
    for name, (count, limit) in COUNTS.items():
        lines = [(source.path, line) for source in sources for line in count(source)]
        exceeded += len(lines) > limit
        print(f"{name:40s} {len(lines):6d}   at most {limit}")
        if options.list:
            for path, line in lines:
                print(f"    {path.relative_to(PACKAGE.parent)}:{line}")
    circles = import_circles(sources)
    exceeded += bool(circles)
    print(f"{'folders that import each other':40s} {len(circles):6d}   at most 0   {circles or ''}")
    packed = packed_share(sources)
    exceeded += packed > MAX_PACKED_SHARE
    print(f"{'packed, share of assignments':40s} {packed:6.1%}   at most {MAX_PACKED_SHARE:.1%}")
    comments = comment_share(sources)
    exceeded += comments < MIN_COMMENT_SHARE
    print(f"{'comments, share of lines':40s} {comments:6.1%}   at least {MIN_COMMENT_SHARE:.1%}")
    return int(options.check and exceeded > 0)


if __name__ == "__main__":
    sys.exit(main())
