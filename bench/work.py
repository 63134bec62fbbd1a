"""The work that training is measured on: models from nothing, and pairs with the lengths of real ones.

    python bench/work.py --model tiny --pairs 256 --out FOLDER       # tokenizer/, pairs.jsonl

Text comes from the standard library of the Python that runs this, so nothing is downloaded; lengths are log-normal
(prompts of about 110 tokens, at most 500; responses of about 60, at most 252). All of it follows from the seed.
"""

import argparse
import json
import math
import random
import resource
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

SHAPES = {  # blocks of 0.8, 4.8, 14 and 34 million parameters; the first is that of the embedded example
    "example": {
        "vocab_size": 1536, "hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 4,
        "num_attention_heads": 4,
    },
    "tiny": {
        "vocab_size": 4096, "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 6,
        "num_attention_heads": 4,
    },
    "medium": {
        "vocab_size": 8192, "hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 8,
        "num_attention_heads": 6,
    },
    "small": {
        "vocab_size": 32768, "hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 10,
        "num_attention_heads": 8,
    },
}  # fmt: skip
SPECIAL = ["<|pad|>", "<|eos|>", "<|user|>", "<|assistant|>"]
TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
CORPUS_BYTES = 24_000_000


def source_text(limit: int = CORPUS_BYTES) -> Iterator[str]:
    """Source files of the standard library in a seeded order, until there are `limit` characters."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    files = [p for p in sorted([*folder.glob("*.py"), *folder.glob("*/*.py")]) if "site-packages" not in p.parts]
    random.Random(0).shuffle(files)
    read = 0
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a few test files are meant not to be UTF-8
        yield text
        read += len(text)
        if read > limit:
            return


def make_tokenizer(shape: str) -> PreTrainedTokenizerBase:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=int(SHAPES[shape]["vocab_size"]),
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(source_text(), trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=SPECIAL[0], eos_token=SPECIAL[1])
    wrapped.chat_template = TEMPLATE
    return wrapped


def make_pairs(
    tokenizer: PreTrainedTokenizerBase,
    count: int,
    seed: int = 1234,
    *,
    prompt_tokens: int | None = None,
    response_tokens: int | None = None,
) -> Iterator[dict[str, str]]:
    """Log-normal lengths, or, where a number of tokens is given, about that many in each."""
    generator = random.Random(seed)
    stream = tokenizer.encode("\n".join(source_text(3_000_000)), add_special_tokens=False)

    def piece(median: int, low: int, high: int, fixed: int | None) -> str:
        length = int(min(high, max(low, math.exp(generator.gauss(math.log(median), 0.7))))) if fixed is None else fixed
        start = generator.randrange(len(stream) - length)
        return str(tokenizer.decode(stream[start : start + length]))

    for _ in range(count):
        yield {
            "prompt": piece(110, 8, 500, prompt_tokens),
            "chosen": piece(60, 4, 252, response_tokens),
            "rejected": piece(60, 4, 252, response_tokens),
        }


def make_model(
    shape: str, tokenizer: PreTrainedTokenizerBase, seed: int = 0, *, vocabulary: int | None = None
) -> PreTrainedModel:
    """Random weights, float32, tied embeddings; `vocabulary` entries, where the shape's number is not wanted."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        **(SHAPES[shape] | ({"vocab_size": vocabulary} if vocabulary else {})),
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def resident_mb() -> float:
    """Memory of this process that is in use now; both sides are measured by it."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=list(SHAPES), default="tiny", help="whose vocabulary the tokenizer has")
    parser.add_argument("--pairs", type=int, default=256)
    parser.add_argument("--response-tokens", type=int, help="about so many in every response; by default log-normal")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(options.model)
    tokenizer.save_pretrained(options.out / "tokenizer")
    with (options.out / "pairs.jsonl").open("w", encoding="utf-8") as stream:
        for pair in make_pairs(tokenizer, options.pairs, response_tokens=options.response_tokens):
            stream.write(json.dumps(pair) + "\n")


if __name__ == "__main__":
    main()
