"""Print the version of this Python and of all its packages as JSON."""

from __future__ import annotations

import json
import sys
from importlib.metadata import distributions


def main() -> None:
    """Print one line."""
    packages = {
        each.metadata["Name"]: each.version for each in distributions() if each.metadata["Name"]
    }
    python = ".".join(map(str, sys.version_info[:3]))
    print(json.dumps({"python": python, "packages": packages}))


if __name__ == "__main__":
    main()
