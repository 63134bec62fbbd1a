"""Measures the processor it runs on, with this package's own loops: what `boresight plan --calibrate` keeps.

Small on purpose (about a minute, one thread): large enough that products of matrices are most of the work.
"""

import datetime
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import nn

from boresight.config.sections import LoRASection, SFTStage
from boresight.data.chat_template import ChatFormat
from boresight.data.tokenize import Encoded
from boresight.models.adapters import add_adapter
from boresight.models.lean_modules import make_lean
from boresight.models.precision import arithmetic
from boresight.models.roles import Policy
from boresight.models.tiny import build_llama, tiny_tokenizer
from boresight.planning.arithmetic import decode_seconds, forward_flops, training_flops
from boresight.planning.calibration import SHIPPED, Calibration, load_calibration
from boresight.planning.shapes import ModelShape, llama_shape
from boresight.planning.stage_memory import stage_memory
from boresight.planning.workload import Workload
from boresight.training.run import Run
from boresight.training.sft import train_sft
from boresight.training.usage import peak_gib

GIB = 2**30
PRODUCTS = ((1024, 256, 768), (1024, 512, 1536), (1024, 1024, 2816))  # tokens, inputs, outputs
SHAPE = {"hidden_size": 384, "intermediate_size": 1024, "layers": 6}
ROWS, PROMPT, RESPONSE = 4, 96, 160
MATRIX = 8192
MEMORY_SHAPES = (
    {"hidden_size": 256, "intermediate_size": 704, "layers": 6},
    {"hidden_size": 512, "intermediate_size": 1408, "layers": 8},
)
MEMORY_STEPS, MEMORY_ROWS = 6, 16


def calibrate(say: Callable[[str], None]) -> Calibration:
    """By one thread. Figures of GPUs stay as they are shipped."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measured(say)
    finally:
        torch.set_num_threads(threads)


def _measured(say: Callable[[str], None]) -> Calibration:
    shipped = load_calibration(SHIPPED)
    say("memory of four processes that train")
    memory = _memory_figures()
    say("products of matrices")
    speed = max(_product_speed(shape) for shape in PRODUCTS)
    say("bandwidth")
    bandwidth = _bandwidth()
    say("training, float32")
    policy, shape = _policy()
    work = Workload(examples=ROWS, prompt_tokens=PROMPT, response_tokens=RESPONSE)
    flops = ROWS * training_flops(shape, work, head=True)
    plain = _train_seconds(policy, "float32")
    say("training, bfloat16")
    lowered = _train_seconds(policy, "bfloat16")
    say("training with adapters")
    adapted_flops = ROWS * training_flops(shape, work, head=True, adapters_only=True)
    adapted = _train_seconds(_policy(LoRASection())[0], "bfloat16")
    say("scoring and sampling")
    scoring = _scoring_seconds(policy)
    token = _token_seconds(policy)
    read = decode_seconds(shape, rows=ROWS, context=PROMPT + RESPONSE / 2, number_bytes=4, bandwidth=bandwidth)
    machine = f"{platform.machine()}, one thread, {platform.system()}, torch {torch.__version__}"
    return replace(
        shipped,
        source=f"measured {datetime.date.today().isoformat()}: {machine}",
        cpu_flops=speed,
        cpu_lowered=plain / lowered,
        cpu_bandwidth=bandwidth,
        cpu_training=flops / plain / speed,
        cpu_scoring=ROWS * forward_flops(shape, work, head=True) / scoring / speed,
        cpu_sampling=read / token,
        cpu_step_seconds=_small_step_seconds(),
        cpu_adapted=(adapted / adapted_flops) / (lowered / flops),
        **memory,
    )


def _policy(lora: LoRASection | None = None, **sizes: int) -> tuple[Policy, ModelShape]:
    tokenizer = tiny_tokenizer()
    sizes = sizes or SHAPE
    model = build_llama(tokenizer, heads=4, context_length=512, initializer_range=0.02, seed=0, **sizes)
    adapter = None if lora is None else add_adapter(model, lora, task="CAUSAL_LM", seed=0)
    make_lean(model.base_model)
    shape = llama_shape(vocabulary_size=len(tokenizer), tied=True, **sizes)
    return Policy(model, tokenizer, ChatFormat(tokenizer), adapter), shape


def _conversations() -> list[Encoded]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 250, (ROWS, PROMPT + RESPONSE), generator=generator).tolist()
    mask = [False] * PROMPT + [True] * RESPONSE
    return [Encoded(row, mask, str(number)) for number, row in enumerate(ids)]


def _train_seconds(policy: Policy, dtype: str, steps: int = 6) -> float:
    """Of the middle one of some steps over all conversations; the first ones make kernels and moments."""
    ticks = _train(policy, _config(steps), dtype, _conversations())
    spans = [later - sooner for sooner, later in pairwise(ticks)]
    return statistics.median(spans[1:])


def _config(steps: int) -> SFTStage:
    return SFTStage(kind="sft", data="", steps=steps, batch_size=ROWS, micro_batch_tokens=1024, learning_rate=1e-5)


class _TimedRun(Run):
    """Notes the processor time after each step, and writes no log."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, title="measuring", key="", seed=0, checkpoint_every=10**9)
        self.ticks: list[float] = []

    def log(self, step: int, metrics: Mapping[str, float], split: str = "train") -> None:
        self.ticks.append(time.process_time())


def _train(policy: Policy, stage: SFTStage, dtype: str, rows: Sequence[Encoded]) -> list[float]:
    with tempfile.TemporaryDirectory() as folder, arithmetic(dtype, "cpu"):
        run = _TimedRun(Path(folder))
        train_sft(stage, policy, rows, run)
    return run.ticks


def _small_step_seconds() -> float:
    """Of a step with hardly any arithmetic: what the loop itself takes."""
    policy, _ = _policy(hidden_size=16, intermediate_size=32, layers=6)
    return _train_seconds(policy, "float32")


def _memory_figures() -> dict[str, Any]:
    """Peak memory of processes less what stays. Two of different size give a line over what comes and goes: its start
    is the process, its slope the allocator's. What bfloat16 and adapters add is how far they lie above it."""
    small, large = MEMORY_SHAPES
    (passing, beside), (more_passing, more_beside) = _apart(small, "float32"), _apart(large, "float32")
    slope = max(1.0, (more_beside - beside) / (more_passing - passing))
    process = beside - slope * passing

    def above(dtype: str, adapters: bool) -> float:
        lowered_passing, lowered_beside = _apart(small, dtype, adapters)
        return lowered_beside - process - slope * lowered_passing

    lowered = max(0.0, above("bfloat16", False))
    return {
        "cpu_process_bytes": int(process),
        "cpu_lowered_bytes": int(lowered),
        "cpu_adapter_bytes": int(max(0.0, above("bfloat16", True) - lowered)),
        "cpu_heap_factor": slope,
    }


def _apart(*arguments: Any) -> tuple[int, int]:
    """`_peak_beside` in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_peak_beside, *arguments).result()


def _peak_beside(sizes: dict[str, int], dtype: str = "float32", adapters: bool = False) -> tuple[int, int]:
    """Bytes that come and go by count, and peak memory of this process less weights, gradients and moments."""
    torch.set_num_threads(1)
    lora = LoRASection() if adapters else None
    policy, shape = _policy(lora, **sizes)
    stage = _config(steps=MEMORY_STEPS).model_copy(update={"lora": lora, "batch_size": MEMORY_ROWS})
    memory = stage_memory(stage, shape, dtype=dtype, tokens=PROMPT + RESPONSE)
    assert memory is not None
    _train(policy, stage, dtype, _ragged())
    return memory.activations, int(peak_gib() * GIB) - memory.certain


def _ragged() -> list[Encoded]:
    """Rows of many lengths, that fill micro-batches: an allocator leaves more holes between such."""
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(PROMPT // 2, PROMPT + RESPONSE, (MEMORY_ROWS * MEMORY_STEPS,), generator=generator).tolist()
    return [Encoded([5] * n, [False] * (n // 3) + [True] * (n - n // 3), str(i)) for i, n in enumerate(lengths)]


@torch.no_grad()
def _scoring_seconds(policy: Policy) -> float:
    ids = torch.tensor([row.input_ids for row in _conversations()])
    mask = torch.tensor([row.response_mask for row in _conversations()])
    policy.model.eval()
    return _median_seconds(lambda: policy.logps(ids, mask), 5)


def _token_seconds(policy: Policy) -> float:
    """Of one token for each of the responses."""
    prompts = [row.input_ids[:PROMPT] for row in _conversations()]

    def sample(tokens: int) -> None:
        policy.generate(
            prompts,
            temperatures=[1.0] * ROWS,
            max_new_tokens=tokens,
            stop_token_ids=[10**9],
            generator=torch.Generator().manual_seed(0),
            batch_size=ROWS,
        )

    return (_median_seconds(lambda: sample(RESPONSE), 3) - _median_seconds(lambda: sample(1), 3)) / (RESPONSE - 1)


def _product_speed(shape: tuple[int, int, int]) -> float:
    tokens, inputs, outputs = shape
    rows, weight = torch.randn(tokens, inputs), torch.randn(outputs, inputs)
    return 2.0 * tokens * inputs * outputs / _median_seconds(lambda: nn.functional.linear(rows, weight), 15)


def _bandwidth() -> float:
    """Reading a matrix far larger than any cache, once for a vector."""
    matrix, vector = torch.randn(MATRIX, MATRIX), torch.randn(MATRIX)
    return matrix.numel() * 4 / _median_seconds(lambda: matrix @ vector, 7)


def _median_seconds(work: Callable[[], object], times: int) -> float:
    work()
    spans = []
    for _ in range(times):
        started = time.process_time()
        work()
        spans.append(time.process_time() - started)
    return statistics.median(spans)
