"""The page that helps to choose a method: what each needs, and what the planner says of some cases."""

from boresight.planning.calibration import SHIPPED, load_calibration
from boresight.planning.case import Case, read_have
from boresight.planning.choose import ORDERS, Option, choose
from boresight.planning.hardware import find_machine
from boresight.planning.known_models import find_model
from boresight.planning.numbers import GIB

CASES = (
    ("Qwen2.5-1.5B", "RTX4090-24GB", "lora"),
    ("Qwen2.5-7B", "H100-80GB", "lora"),
    ("Llama-3.1-8B", "2xA100-80GB", "full"),
)
HAVE = "demonstrations,pairs,prompts"

NEEDS = {
    "sft": ("demonstrations", "imitation is enough, or as the start of all others"),
    "dpo": ("pairs", "pairs are there and answers need to become better, not explored"),
    "orpo": ("pairs", "no stage before it: the base model learns form and preference in one"),
    "ppo": ("prompts, and a reward", "the reward can say more than the pairs show, and can be trusted that far"),
    "rloo": ("prompts, and a reward", "as PPO, without a value model to train; best where a program checks the answer"),
    "simpo": ("pairs", "no memory for a reference; sensitive to the learning rate"),
    "kto": ("responses rated good or bad", "thumbs up and down, no pairs"),
}


def choose_page() -> str:
    lines = [
        "# Choose a method",
        "",
        "Made by `docs/generate.py` from the planner. In short: start with SFT; with pairs take DPO; with a program",
        "that checks answers take RLOO; take PPO where the reward model knows more than the pairs show, and you can",
        "hold it against something.",
        "",
        "| method | needs | take it where |",
        "|---|---|---|",
        *(f"| [{kind}](stages/{kind}.md) | {data} | {where} |" for kind, (data, where) in NEEDS.items()),
        "",
        f"Where all fit, the planner's order is {', '.join(ORDERS['balance'])}; with `--prefer quality` it is "
        f"{', '.join(ORDERS['quality'])} (Ivison et al. 2024, arXiv:2406.09279: PPO before DPO by up to 2.5 points, at "
        "many times the computing).",
        "",
        "Your case: model, hardware, and what you have. No weights are loaded.",
        "",
        "```console",
        "boresight plan --model Qwen2.5-1.5B --gpus RTX4090-24GB --finetune lora --have demonstrations,pairs,prompts",
        "```",
    ]
    for model, gpus, finetune in CASES:
        lines += ["", f"## {model} on {gpus}, {finetune}", "", "| method | verdict | peak GiB a GPU | hours | why |"]
        lines += ["|---|---|---|---|---|", *map(_row, choose(_case(model, gpus, finetune)))]
    lines += ["", "How these come about, and how far off they were where it was measured: [the planner](planner.md)."]
    return "\n".join(lines) + "\n"


def _case(model: str, gpus: str, finetune: str) -> Case:
    speeds = load_calibration(SHIPPED)
    name, shape = find_model(model)
    return Case(
        model=name, shape=shape, machine=find_machine(gpus, speeds), calibration=speeds, have=read_have(HAVE),
        finetune=finetune,
    )  # fmt: skip


def _row(option: Option) -> str:
    fullest = option.fullest
    peak = "" if fullest is None else f"{fullest.memory.peak.total / GIB:.1f}"
    return f"| {option.method} | {option.verdict} | {peak} | {option.hours:.1f} | {'; '.join(option.reasons)} |"
