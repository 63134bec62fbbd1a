"""A still of the terminal: what `boresight demo` prints of a run that is finished, as SVG in light and dark.

make demo                                   # about a quarter of an hour, once
python docs/recording.py                    # of runs/kube-assistant, into docs/figures/screens

The command really runs; every stage is built already, so it takes seconds, and the lines are those of the run.
"""

import argparse
import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from boresight.storage import write_text

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs" / "figures" / "screens"
COLUMNS = 112

ANSI = [(60, 60, 60), (170, 30, 50), (15, 95, 87), (140, 90, 0), (30, 90, 170), (120, 50, 140), (10, 110, 120)]
ANSI.append((90, 90, 90))
THEMES = {
    "light": TerminalTheme((251, 251, 248), (28, 32, 36), ANSI),
    "dark": TerminalTheme((14, 18, 23), (226, 230, 234), [tuple(min(255, c + 110) for c in colour) for colour in ANSI]),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, default=ROOT / "runs" / "kube-assistant")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    if not (given.run / "report.html").is_file():
        print(f"{given.run}: no report there; `make demo` makes the run of the picture", file=sys.stderr)
        return 2
    given.out.mkdir(parents=True, exist_ok=True)
    said = spoken(given.run)
    for name, theme in THEMES.items():
        path = given.out / f"demo_{name}.svg"
        write_text(path, drawn(said, theme))
        print(f"{path.name}  {path.stat().st_size / 1000:.0f} kB")
    return 0


def spoken(run: Path) -> str:
    """What the command prints; the folder as it is called by default."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "COLUMNS": str(COLUMNS)}
    command = [sys.executable, "-m", "boresight", "demo", "--out", str(run)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return done.stdout.replace(str(run), "runs/kube-assistant")


def drawn(said: str, theme: TerminalTheme) -> str:
    """The text as a window. No font is fetched: rich's own frame would ask a host of others for one."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text("$ boresight demo", style="bold"))
    for line in said.splitlines():
        text = Text(line)
        text.highlight_regex(r"\d[\d,.]*%(?![^()]*\))", style="bold green")
        text.highlight_regex(r"\(.*?\)", style="bright_black")
        text.highlight_regex(r"holds: all \d+ checks", style="bold green")
        console.print(text)
    picture = console.export_svg(title="boresight demo", theme=theme, unique_id="demo")
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    return picture.replace("font-family: Fira Code, monospace", "font-family: ui-monospace, monospace") + "\n"


if __name__ == "__main__":
    sys.exit(main())
