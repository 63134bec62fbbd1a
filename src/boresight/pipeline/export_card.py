"""README.md of an exported model: what it is, what it may be used for by the licence of its base, how it is loaded."""

from collections.abc import Mapping
from typing import Any

from boresight.config.yaml_text import dump_yaml
from boresight.pipeline.export_source import Source, header_of

NO_LICENCE = (
    "The licence of the base model was not found beside it. Look it up before you pass this model on: its terms go "
    "with the weights."
)
POLICY_LOADS = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(FOLDER)
model = AutoModelForCausalLM.from_pretrained(FOLDER)
"""
REWARD_LOADS = """\
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(FOLDER)
model = AutoModelForSequenceClassification.from_pretrained(FOLDER)
text = tokenizer.apply_chat_template(messages, tokenize=False)
score = model(**tokenizer([text], padding=True, return_tensors="pt")).logits[:, 0]
"""
POLICY_ADAPTER = """\
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(FOLDER)
model = AutoPeftModelForCausalLM.from_pretrained(FOLDER)
"""
REWARD_ADAPTER = """\
from peft import AutoPeftModelForSequenceClassification
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(FOLDER)
model = AutoPeftModelForSequenceClassification.from_pretrained(FOLDER, num_labels=1)
model.config.pad_token_id = tokenizer.pad_token_id
"""


def export_card(source: Source, told: Mapping[str, Any]) -> str:
    """Markdown with a YAML header that the hub reads; `told` is what the export is (kind, dtype, base, licence)."""
    kept = told["adapters"] == "kept"
    head = _header(source, told, kept=kept)
    body = source.card.split("\n---\n", 1)[-1].strip() if header_of(source.card) else source.card.strip()
    loads = {
        (False, False): POLICY_LOADS, (False, True): POLICY_ADAPTER,
        (True, False): REWARD_LOADS, (True, True): REWARD_ADAPTER,
    }[source.is_reward_model, kept]  # fmt: skip
    lines = [
        "---",
        dump_yaml(head).strip(),
        "---",
        body or f"# {'Reward model' if source.is_reward_model else 'Language model'}",
        "",
        "## Export",
        "",
        f"Number format: {told['dtype']}. Adapters: {told['adapters']}."
        + (f" They stand on `{told['adapter_base']}`." if kept else ""),
        *(f"For this form {change}." for change in told["changed"]),
        "",
        "## Licence",
        "",
        _licence(source, told),
        "",
        "## Loading",
        "",
        "```python",
        loads.strip(),
        "```",
        "",
    ]
    return "\n".join(lines)


def _header(source: Source, told: Mapping[str, Any], *, kept: bool) -> dict[str, Any]:
    head = header_of(source.card)
    tags = head.get("tags") or ["boresight"]
    return head | {
        "library_name": "peft" if kept else "transformers",
        "pipeline_tag": "text-classification" if source.is_reward_model else "text-generation",
        "tags": [*tags] if isinstance(tags, list) else [str(tags)],
        **({"base_model": told["base"]} if told["base"] else {}),
        **({"license": told["licence"]} if told["licence"] else {}),
    }


def _licence(source: Source, told: Mapping[str, Any]) -> str:
    base = f"the base model `{told['base']}`" if told["base"] else "the base model"
    files = ", ".join(f"`{file.name}`" for file in source.base.licence_files)
    if told["licence"]:
        return f"`{told['licence']}`, by {base}." + (f" Its terms lie beside: {files}." if files else "")
    if files:
        return f"By {base}; its terms lie beside: {files}."
    if source.base.from_nothing:
        return "Trained from nothing, so no base model's licence applies; that of the data does."
    return NO_LICENCE
