"""Blocks and pictures as a notebook shows them. Everything that comes from data or models is escaped."""

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from markupsafe import Markup, escape

from boresight.tables import Block, Table

DARK = '[data-jp-theme-light="false"] .boresight, .vscode-dark .boresight, html[theme="dark"] .boresight'
"""Notebooks in dark colours: JupyterLab, VS Code, Colab."""

RULES = (
    ".boresight { max-width: 860px } "
    ".boresight table { border-collapse: collapse; margin: .6em 0; font-size: 13px } "
    ".boresight th, .boresight td { padding: .2em .8em; border: 0; border-bottom: 1px solid var(--grid); "
    "vertical-align: top; white-space: pre-line } "
    ".boresight p { white-space: pre-wrap; margin: .5em 0 } "
    ".boresight svg { max-width: 100%; height: auto; overflow: visible }"
)


def as_html(blocks: Sequence[Block], pictures: Sequence[Markup] = ()) -> str:
    """One element that brings its own colours, in light and dark."""
    shown = [_html_table(block) if isinstance(block, Table) else _paragraph(block) for block in blocks]
    drawn = [_with_own_ids(picture) for picture in pictures]
    return f'<div class="boresight"><style>{_style()}</style>{"".join([*shown, *drawn])}</div>'


def as_markdown(blocks: Sequence[Block]) -> str:
    """The same as Markdown: tables as tables, texts as they are."""
    return "\n\n".join(_markdown_table(block) if isinstance(block, Table) else _fenced(block) for block in blocks)


@cache
def _style() -> str:
    """The colours of the report's page, kept to this element."""
    css = files("boresight.pipeline").joinpath("templates/report.css").read_text(encoding="utf-8")
    roots = re.findall(r":root \{(.*?)\}", css, re.DOTALL)  # light, dark, then what differs in print
    light, dark = (" ".join(re.findall(r"--\w+: #\w+;", root)) for root in roots[:2])
    return f".boresight {{ {light} }} {DARK} {{ {dark} }} {RULES}"


def _paragraph(text: str) -> str:
    return str(Markup("<p>{}</p>").format(text))


def _html_table(table: Table) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        sides = ["right" if number in table.right else "left" for number in range(len(cells))]
        return "".join(
            f'<{tag} style="text-align: {side}">{escape(cell)}</{tag}>' for side, cell in zip(sides, cells, strict=True)
        )

    rows = list(table.rows)
    head = f"<thead><tr>{row(rows.pop(0), 'th')}</tr></thead>" if table.headed and rows else ""
    body = "".join(f"<tr>{row(cells, 'td')}</tr>" for cells in rows)
    return f"<table>{head}<tbody>{body}</tbody></table>"


def _with_own_ids(picture: Markup) -> str:
    """Two pictures on one page must not share the ids that clip their lines."""
    own = hashlib.sha256(picture.encode()).hexdigest()[:8]
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>b{own}-", str(picture))


def _markdown_table(table: Table) -> str:
    rows = [[_cell(cell) for cell in cells] for cells in table.rows]
    if not rows:
        return ""
    head = rows.pop(0) if table.headed else [""] * len(rows[0])
    rule = ["---:" if number in table.right else "---" for number in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def _cell(text: str) -> str:
    for sign in "\\`*_[]<>|":
        text = text.replace(sign, "\\" + sign)
    return text.replace("\n", " ")


def _fenced(text: str) -> str:
    """Text as it is: its indents carry meaning, and nothing in it is to be taken for markup."""
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 3)
    return f"{fence}text\n{text}\n{fence}"
