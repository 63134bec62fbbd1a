"""The README.md beside every saved model: what it is, what it was made from, by which settings."""

import json
from typing import Any

from boresight.pipeline.context import StageContext
from boresight.pipeline.evidence_card import PURPOSE


def model_card(context: StageContext) -> str:
    """Markdown with a YAML header; equal runs write equal cards."""
    kind = context.config.kind
    lines = [
        "---",
        "library_name: transformers",
        f"tags: [boresight, {kind.replace('_', '-')}]",
        "---",
        f"# {context.pipeline.name}: {context.name}",
        "",
        PURPOSE[kind],
        "",
        "## Lineage",
        "",
        f"Made by boresight {context.identity.as_json()['boresight']}, stage `{context.name}` (`{kind}`), "
        f"seed {context.seed}, key `{context.identity.key[:16]}`.",
        "",
        "| input | what | content (SHA-256) |",
        "|---|---|---|",
        *(
            f"| {field} | {i.name} | `{i.sha256[:16]}` |"
            for field, inputs in context.identity.inputs.items()
            for i in inputs
        ),
        "",
        "## Settings",
        "",
        "```json",
        json.dumps(_plain(context.identity.config), indent=2, sort_keys=True),
        "```",
        "",
    ]
    return "\n".join(lines)


def _plain(config: Any) -> Any:
    return {name: value for name, value in config.items() if value is not None}
