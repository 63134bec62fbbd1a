"""The code blocks of the pages, and the marks of those that no test executes.

A fenced block is executed unless the line above it is a mark with a reason of the closed list:

    <!-- not run: needs a GPU -->
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

LONG = frozenset({"minutes of training", "starts a Ray cluster"})
"""What runs with `--long-blocks` (`make release-check`). A cluster takes half a minute; tests/launch/ray has one."""

REASONS = LONG | {"needs a GPU", "needs a cluster", "shown only as output"}
"""Why a block may go without being executed. Anything else has to be made to run."""

FENCE = re.compile(
    r"^(?P<indent> *)(?P<ticks>`{3,})(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=indent)(?P=ticks)[ ]*$",
    flags=re.MULTILINE | re.DOTALL,
)
INDENTED = re.compile(r"(?:\A|\n)[ ]*\n(?P<first> {4,}\S[^\n]*)")
"""The first line of a block that is code by its indentation alone."""
PLAIN = re.compile(
    r"^ *(?:[$%] )?(?:[A-Z_]+=\S* )?(?:boresight|torchrun|kubectl|docker|curl|make|pip|python\d?|import|from)\b|"
    r"^ *[\w.]+: |^ *\w+:$|^ *\w+ error: |^ *[\w.]+ = \w+[.(]|^ *\S+/$"
)
MARK = re.compile(r"<!-- not run: ([^\n]*?) -->\s*$")


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    text: str
    reason: str | None
    """Why it is not executed, as its mark says."""

    @property
    def place(self) -> str:
        return f"{self.page.name}:{self.line}"


def pages() -> list[Path]:
    """All pages that people read: README, contributing, docs with the generated ones, and those of the examples."""
    top = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
    docs = [page for page in (ROOT / "docs").rglob("*.md") if "decisions" not in page.parts]
    return [page for page in [*top, *sorted(docs), *sorted((ROOT / "examples").glob("*/README.md"))] if page.exists()]


def blocks_of(page: Path) -> list[Block]:
    return blocks_in(page.read_text(encoding="utf-8"), page)


def blocks_in(text: str, page: Path) -> list[Block]:
    """The fenced blocks of a text, in order, without their indentation."""
    found = []
    for fence in FENCE.finditer(text):
        before = text[: fence.start()]
        mark = MARK.search(before.rstrip(" "))
        indent = len(fence["indent"])
        lines = [line[indent:] if not line[:indent].strip() else line for line in fence["text"].splitlines()]
        found.append(
            Block(
                page=page,
                line=before.count("\n") + 1,
                language=fence["language"].strip().split(" ")[0],
                text="\n".join(lines) + "\n",
                reason=mark[1] if mark else None,
            )
        )
    return found


def unfenced(text: str) -> list[str]:
    """Commands, settings, Python and output that stand indented, where nothing runs them; formulas may stand so."""
    without = FENCE.sub("", text)
    return [found["first"].strip() for found in INDENTED.finditer(without) if PLAIN.match(found["first"])]
