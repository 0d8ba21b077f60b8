"""Measure how long the sentences of README.md and docs/*.md are.

`python tools/sentences.py` prints the mean sentence length of each page, in words.
`python tools/sentences.py --check` fails where a page's mean is above the limit.
`python tools/sentences.py --long 30 docs/campaign.md` shows the sentences of more than 30 words.
Tables, code, headings and images are left out: they have no sentences.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

ROOT = Path(__file__).parents[1]
LIMIT = 20.0
FENCE = re.compile(r"^\s*(```|~~~)")
SKIPPED = re.compile(r"^\s*(#|\||!\[|<|:::|---\s*$|\$\$)")
# "**Batches.** The trajectories …": a heading that stands in the line of its paragraph
RUN_IN_HEADING = re.compile(r"^\*\*[^*]+[.:]\*\*\s*")
LIST_ITEM = re.compile(r"^\s*([-*+]|\d+\.)\s+")
# a mark ends a sentence where white space and a capital, a digit, a code span or a bracket follow
END = re.compile(r"(?<=[.!?])[\"')\]*]*\s+(?=[\"'(\[*]*[A-Z0-9Α-Ωα-ω`|θλΔδσ])")
ABBREVIATIONS = re.compile(r"\b(e\.g|i\.e|vs|cf|et al|Fig|Figs|Eq|Eqs|Ref|No|resp|approx)\.")


def pages() -> list[Path]:
    """Return README.md and every page of the documentation."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def paragraphs(text: str) -> Iterator[str]:
    """Yield the paragraphs and list items of a page, without tables, code and headings."""
    lines: list[str] = []
    in_code = False
    for line in [*text.splitlines(), ""]:
        is_fence = bool(FENCE.match(line))
        indented = line.startswith("    ") and not lines
        if is_fence:
            in_code = not in_code
        ends = is_fence or in_code or indented or not line.strip() or SKIPPED.match(line)
        if lines and (ends or LIST_ITEM.match(line)):
            yield " ".join(lines)
            lines = []
        if not ends:
            lines.append(LIST_ITEM.sub("", line).strip())


def plain(paragraph: str) -> str:
    """Return a paragraph as it is read: a link is its text, a code span is one word."""
    paragraph = RUN_IN_HEADING.sub("", paragraph)
    paragraph = re.sub(r"`[^`]+`", "Code", paragraph)
    paragraph = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", paragraph)
    return ABBREVIATIONS.sub(lambda match: match[1].replace(".", ""), paragraph)


def sentences(text: str) -> list[str]:
    """Return the sentences of a page."""
    split = [sentence for paragraph in paragraphs(text) for sentence in END.split(plain(paragraph))]
    return [sentence.strip() for sentence in split if word_count(sentence)]


def word_count(sentence: str) -> int:
    """Count the words of a sentence; a number with its unit's signs is one word."""
    return sum(1 for word in sentence.split() if re.search(r"\w", word))


def mean_length(text: str) -> float:
    """Return the mean sentence length of a page, 0 where it has no sentence."""
    lengths = [word_count(sentence) for sentence in sentences(text)]
    return mean(lengths) if lengths else 0.0


def main() -> None:
    """Print the means, or the long sentences; with `--check` fail above the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", type=Path, help="Default: README.md and docs.")
    parser.add_argument("--check", action="store_true", help="Fail where a mean is too long.")
    parser.add_argument("--limit", type=float, default=LIMIT, help="Words; default %(default)s.")
    parser.add_argument("--long", type=int, help="Show the sentences of more words than this.")
    arguments = parser.parse_args()
    too_long = []
    for page in arguments.pages or pages():
        text = page.read_text()
        length = mean_length(text)
        name = page.resolve().relative_to(ROOT)
        print(f"{length:6.1f}  {name}")
        for sentence in sentences(text) if arguments.long else []:
            if word_count(sentence) > arguments.long:
                print(f"        {word_count(sentence):3d}  {sentence}")
        if length > arguments.limit:
            too_long.append(str(name))
    if arguments.check and too_long:
        raise SystemExit(f"mean sentence above {arguments.limit:g} words: {', '.join(too_long)}")


if __name__ == "__main__":
    main()
