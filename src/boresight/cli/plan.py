"""`boresight plan`: which method fits this model, data and hardware; what it takes; and a pipeline file for it."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from typer import Option


class Finetune(StrEnum):
    full = "full"
    lora = "lora"
    qlora = "qlora"


class Dtype(StrEnum):
    bfloat16 = "bfloat16"
    float32 = "float32"


class Prefer(StrEnum):
    balance = "balance"
    quality = "quality"
    cost = "cost"


class Roles(StrEnum):
    separate = "separate"
    shared = "shared"
    one_trunk = "one_trunk"


class Formats(StrEnum):
    mixed = "mixed"
    pure_bfloat16 = "pure_bfloat16"


class Engine(StrEnum):
    colocated = "colocated"
    apart = "apart"


class Lists(StrEnum):
    models = "models"
    gpus = "gpus"


KINDS = (
    "Data at hand: demonstrations, pairs, rankings, prompts, verifiable (prompts that a program can check), judge. "
    "With =FILE where it is."
)

Model = Annotated[str | None, Option(metavar="DIR_OR_NAME", help="Model folder, config.json, or a common model.")]
Gpus = Annotated[str, Option(metavar="NxNAME", help="Hardware: 2xA100-80GB, H200-141GB, cpu.")]
FinetuneOption = Annotated[Finetune, Option(help="Train all weights, adapters, or adapters on 4-bit weights.")]
RolesOption = Annotated[Roles | None, Option("--roles", help="Where the models of ppo and rloo lie (docs/scale.md).")]
Method = Annotated[str | None, Option(metavar="METHOD", help="This method alone: sft, orpo, dpo, rloo or ppo.")]
Have = Annotated[str, Option(metavar="KINDS", help=KINDS)]
Tuned = Annotated[bool, Option("--tuned", help="The model was fine-tuned to answer before.")]
Regulated = Annotated[bool, Option("--regulated", help="Labels of a language model may not decide alone.")]
Examples = Annotated[int, Option(metavar="N", help="Pairs or demonstrations.")]
Prompts = Annotated[int, Option(metavar="N", help="Prompts that a policy samples from.")]
PromptTokens = Annotated[int, Option(metavar="N", help="Mean tokens of a prompt.")]
ResponseTokens = Annotated[int, Option(metavar="N", help="Mean tokens of a response.")]
Longest = Annotated[int, Option(metavar="N", help="Tokens of the longest prompt and response.")]
Epochs = Annotated[float, Option(metavar="E", help="Passes over the data.")]
Rank = Annotated[int, Option(metavar="R", help="Rank of adapters.")]
DtypeOption = Annotated[Dtype, Option("--dtype", help="Format of matrix products.")]
Hours = Annotated[float | None, Option(metavar="H", help="Hours at most.")]
Budget = Annotated[float | None, Option(metavar="M", help="Money at most.")]
Cost = Annotated[float | None, Option(metavar="C", help="Your price of an hour of one GPU.")]
PreferOption = Annotated[Prefer, Option("--prefer", help="Among methods that fit.")]
Write = Annotated[Path | None, Option(metavar="FILE", help="Write the pipeline of the method.")]
Calibrate = Annotated[bool, Option("--calibrate", help="Measure this processor first, and keep it.")]
CalibrationFile = Annotated[Path | None, Option(metavar="FILE", help="Measured speeds to go by.")]
FormatsOption = Annotated[
    Formats | None, Option("--formats", help="Elsewhere: 16-bit weights with float32 masters, or 16 bits throughout.")
]
EightBit = Annotated[bool, Option("--8bit-optimizer", help="Elsewhere: moments of a byte.")]
Shard = Annotated[int | None, Option(metavar="STAGE", min=0, max=3, help="Elsewhere: ZeRO stage over all GPUs.")]
Offload = Annotated[bool, Option("--offload", help="Elsewhere: the optimizer waits on the CPU.")]
EngineOption = Annotated[
    Engine | None, Option("--engine", help="Elsewhere: an engine such as vLLM samples, on the same GPUs or apart.")
]
Labels = Annotated[int | None, Option("--labels", metavar="N", help="What N pairs cost by people, a judge, or both.")]
VoteSeconds = Annotated[float, Option(metavar="S", help="Of labels: seconds of a person for a vote.")]
People = Annotated[int, Option(metavar="N", help="Of labels: people at work.")]
VotePrice = Annotated[float, Option(metavar="M", help="Of labels: your price of a vote.")]
CallSeconds = Annotated[float, Option(metavar="S", help="Of labels: seconds of a call of the judge.")]
CallsAtOnce = Annotated[int, Option(metavar="N", help="Of labels: calls on the way at once.")]
CallPrice = Annotated[float, Option(metavar="M", help="Of labels: your price of a call.")]
ListOption = Annotated[Lists | None, Option("--list", help="Print the known models or GPUs.")]
Json = Annotated[bool, Option("--json", help="Print one JSON object.")]


def command(
    model: Model = None,
    gpus: Gpus = "cpu",
    finetune: FinetuneOption = Finetune.full,
    method: Method = None,
    roles: RolesOption = None,
    have: Have = "demonstrations,pairs,prompts",
    tuned: Tuned = False,
    regulated: Regulated = False,
    examples: Examples = 10_000,
    prompts: Prompts = 10_000,
    prompt_tokens: PromptTokens = 256,
    response_tokens: ResponseTokens = 256,
    longest: Longest = 2048,
    epochs: Epochs = 1.0,
    rank: Rank = 16,
    dtype: DtypeOption = Dtype.bfloat16,
    hours: Hours = None,
    budget: Budget = None,
    cost_per_gpu_hour: Cost = None,
    prefer: PreferOption = Prefer.balance,
    write: Write = None,
    calibrate: Calibrate = False,
    calibration: CalibrationFile = None,
    formats: FormatsOption = None,
    eight_bit_optimizer: EightBit = False,
    shard: Shard = None,
    offload: Offload = False,
    engine: EngineOption = None,
    labels: Labels = None,
    vote_seconds: VoteSeconds = 45.0,
    people: People = 2,
    vote_price: VotePrice = 0.60,
    call_seconds: CallSeconds = 2.0,
    calls_at_once: CallsAtOnce = 32,
    call_price: CallPrice = 0.002,
    listed: ListOption = None,
    as_json: Json = False,
) -> None:
    """Which method fits model, data and hardware, and what it takes.

    Memory by part, hours, money, and a pipeline file, from a model's config alone: no weights are loaded. Memory is
    counted by part and phase, and the peak is the highest phase; time is arithmetic at the speed that was measured
    (docs/planner.md); prices are yours. Options marked Elsewhere count memory as other frameworks have it.

    Exit code 1: nothing (or not the method asked for) fits; then it is said what would make it fit.

    \b
    Example:
      boresight plan --model Llama-3.1-8B --gpus 2xA100-80GB
      boresight plan --model models/base --gpus cpu --have demonstrations,pairs --examples 2000
      boresight plan --model Qwen2.5-7B --gpus H100-80GB --finetune lora --method ppo --write ppo.yaml
      boresight plan --labels 2000 --have judge --budget 300 --vote-price 0.5
      boresight plan --calibrate
    """
    given = dict(locals())
    from boresight.cli.plan_answer import answer

    answer(given)
