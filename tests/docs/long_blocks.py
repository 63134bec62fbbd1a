"""Blocks that take long, run by a real shell in a clone of this checkout, one after the other as a reader would:
what one has built, the next goes on with."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.docs.blocks import LONG, ROOT, Block, blocks_of

CLONE = "boresight"
"""What the README clones into."""
STAMP = ".installed"
"""By which `make setup` knows an environment that it has made."""


def distinct(blocks: Iterable[Block]) -> list[Block]:
    """Those of them that take long, without any whose every line stands in an earlier one, too."""
    known: set[str] = set()
    found = []
    for block in blocks:
        lines = {line.split("#")[0].strip() for line in block.text.splitlines()}
        if block.reason in LONG and not lines <= known:
            found.append(block)
            known |= lines
    return found


def started(block: Block) -> list[str]:
    """What its page has `boresight init` write before it."""
    before = [other.text for other in blocks_of(block.page) if other.line < block.line and other.reason is None]
    return re.findall(r"^boresight init [\w-]+(?= *(?:#|$))", "".join(before), flags=re.MULTILINE)


def run_long(block: Block, place: Path, meant: Mapping[str, Path]) -> None:
    """Run the block in the clone within `place`, which is made where the block does not make it itself. `meant`: what
    stands for a name that the reader has to fill in. Raises CalledProcessError where a line does not end well."""
    clones = "git clone" in block.text
    if not clones and not (place / CLONE).exists():
        _bash(f"git clone --quiet {shlex.quote(str(ROOT))} {CLONE}", place)
    text = block.text
    for name, path in meant.items():
        text = re.sub(rf"(?<![\w/-]){re.escape(name)}(?![\w/-])", shlex.quote(str(path)), text)
    _bash("\n".join([*started(block), text]), place if clones else place / CLONE)


def _bash(script: str, folder: Path) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    if Path(sys.prefix, STAMP).exists():  # else `make setup` makes an environment in the clone, which needs the network
        environment["MAKEFLAGS"] = f"VENV={sys.prefix}"
    subprocess.run(["bash", "-euxo", "pipefail", "-c", script], cwd=folder, env=environment, check=True)
