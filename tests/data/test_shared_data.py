"""Every data file of the collection beside this checkout: imported with all its records, or refused with a reason.

`READ`: path -> form, rows, records. `REFUSED`: path -> what the refusal says. A file in neither fails the test, so that
a new one has to be looked at.
"""

from pathlib import Path

import pytest

from boresight.data.readers import read_demonstrations, read_documents, read_pairs, read_prompts
from boresight.data.sources import open_source
from boresight.data.tables import container_of
from boresight.errors import DataError

ROOT = Path(__file__).parents[2].parent / "shared" / "data"
EXAMPLE = Path(__file__).parents[2] / "examples" / "kube_assistant" / "data"
NO_DATA = {"README.md", "LICENSE", "LICENSE-Apache-2.0", "LICENSE-rust_book-MIT", ".gitattributes"}
OTHER_ROOMS = {"runs", "kuberay"}  # logs of training runs and Kubernetes schemas are no records

LLMBAR = {"GPTInst": 92, "LLMEval2": 200, "Manual": 46, "Natural": 100}
READ: dict[str, tuple[str, int, int]] = {
    "alpaca_eval/gpt4_v1/alpaca-7b.jsonl.gz": ("alpaca_eval", 805, 805),
    "alpaca_eval/gpt4_v1/claude.jsonl.gz": ("alpaca_eval", 805, 805),
    "alpaca_eval/gpt4_v1/text_davinci_001.jsonl.gz": ("alpaca_eval", 805, 804),  # one row without a verdict
    "alpaca_eval/weighted/FuseChat-Llama-3.2-3B-Instruct.jsonl.gz": ("alpaca_eval", 805, 805),
    "alpaca_eval/weighted/NullModel.jsonl.gz": ("alpaca_eval", 805, 805),
    "alpaca_eval/weighted/claude-2.jsonl.gz": ("alpaca_eval", 805, 805),
    "alpaca_eval/weighted/gpt-3.5-turbo-1106.jsonl.gz": ("alpaca_eval", 805, 805),
    "alpaca_eval/weighted/gpt-3.5-turbo-1106_concise.jsonl.gz": ("alpaca_eval", 805, 805),
    "alpaca_eval/weighted/gpt-3.5-turbo-1106_verbose.jsonl.gz": ("alpaca_eval", 805, 805),
    "alpaca_eval/weighted/text_davinci_001.jsonl.gz": ("alpaca_eval", 803, 803),
    "alpaca_eval/weighted/vicuna-7b-v1.5.jsonl.gz": ("alpaca_eval", 805, 805),
    "arena_hard/question_v0.1.jsonl.gz": ("prompts", 500, 500),
    "gsm8k/test_first659.jsonl.gz": ("question_answer", 659, 659),
    "gsm8k/train.jsonl.gz": ("question_answer", 7473, 7473),
    "hh_rlhf/harmless-base.test.jsonl.gz": ("hh_rlhf", 271, 271),
    "hh_rlhf/harmless-base.train.jsonl.gz": ("hh_rlhf", 1191, 1191),
    "hh_rlhf/helpful-base.test.jsonl.gz": ("hh_rlhf", 289, 289),
    "hh_rlhf/helpful-base.train.jsonl.gz": ("hh_rlhf", 1210, 1210),
    "hh_rlhf/helpful-online.jsonl.gz": ("hh_rlhf", 1137, 1137),
    "hh_rlhf/helpful-rejection-sampled.jsonl.gz": ("hh_rlhf", 2749, 2749),
    "ifeval/input_data_even.jsonl.gz": ("prompts", 271, 271),
    **{f"llmbar/{part}/dataset.json": ("llmbar", rows, rows) for part, rows in LLMBAR.items()},
    "preference/dpo_en_demo.json.gz": ("sharegpt_pairs", 300, 300),
    "preference/qa_feedback_dev_first350.jsonl.gz": ("qa_feedback", 350, 2100),  # six comparisons a question
    "pretrain/kubernetes_community_contributors.jsonl.gz": ("documents", 98, 98),
    "pretrain/rust_book.jsonl.gz": ("documents", 112, 112),
    "pretrain/tinyshakespeare.txt.gz": ("text", 7222, 7222),
    "sft/alpaca_en_demo.json.gz": ("alpaca", 999, 999),
    "sft/predictions_text-davinci-001.jsonl.gz": ("prompt_response", 252, 252),
    "sft/predictions_text-davinci-003.jsonl.gz": ("prompt_response", 252, 252),
    "sft/self_instruct_seed_tasks.jsonl.gz": ("self_instruct", 175, 175),
    "sft/sharegpt_dummy_conversation.json.gz": ("sharegpt", 500, 500),
    "sft/user_oriented_instructions.jsonl.gz": ("self_instruct", 252, 252),
    "truthfulqa/finetune_truth.jsonl.gz": ("prompt_response", 22434, 22434),
    "xstest/xstest_prompts.csv": ("csv", 450, 450),
    **{
        f"xstest/xstest_v2_completions_{model}{judged}.csv.gz": ("csv", 450, 450)
        for model in ("gpt4", "mistralguard")
        for judged in ("", "_gpteval", "_streval")
    },
}
REFUSED: dict[str, str] = {
    "alpaca_eval/instruction_difficulty.csv.gz": "found the columns index, dataset, instruction, difficulty; expected",
    "alpaca_eval/lc_weights.csv": "column 1 of the header has no name",
    "alpaca_eval/leaderboard_gpt4_v1.csv": "column 1 of the header has no name",
    "alpaca_eval/leaderboard_weighted.csv": "column 1 of the header has no name",
    "arena_hard/answers_gpt-3.5-turbo-0125.jsonl.gz": 'message 2: "content": found an object, expected a text',
    "arena_hard/answers_gpt-4-0314.jsonl.gz": 'message 2: "content": found an object, expected a text',
    "mt_bench/answers_Mistral-ORPO-alpha.jsonl.gz": "found the columns question_id, answer_id, model_id, choices",
    "mt_bench/judge_prompts.jsonl": "found the columns name, type, system_prompt",
    "mt_bench/question.jsonl": "found the columns question_id, category, turns",
    "mt_bench/reference_gpt-4.jsonl": "found the columns question_id, answer_id, model_id, choices",
    "mt_bench/vicuna_question.jsonl": "found the columns question_id, category, turns",
    "pandalm/gpt-3.5-turbo-testset-v1.json.gz": "found the columns idx, gpt_result, gpt_reason",
    "pandalm/pandalm-7b-testset-v1.json.gz": "found the columns idx, pandalm_result, pandalm_reason",
    "pandalm/testset-v1.json.gz": ':1886: "response1": found true or false, expected a text',
    "sycophancy/nlp_survey.jsonl.gz": "found the columns neutral_prompt, biased_prompt, sycophantic_target",
    "truthfulqa/TruthfulQA.csv.gz": "found the columns Type, Category, Question, Best Answer, Best Incorrect Answer",
    "truthfulqa/TruthfulQA_v1.csv.gz": "found the columns Type, Category, Question, Best Answer, Correct Answers",
}


def found_files() -> list[str]:
    if not ROOT.is_dir():
        return []
    files = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return [path.as_posix() for path in files if path.parts[0] not in OTHER_ROOMS and path.name not in NO_DATA]


def expectation(name: str) -> tuple[str, int, int] | str | None:
    if name.startswith("llmbar/") and name.endswith(".statistics.json"):
        return ":1: not valid JSON"  # one object over several lines: figures, no records
    if name.startswith("llmbar/") and name.endswith(".result.json.gz"):
        rows = LLMBAR[name.split("/")[1]]
        return "llmbar", rows, rows
    if name.startswith("model_written_evals/"):
        return "found the columns question,"  # which of two answers is better depends on what is measured
    return READ.get(name) or REFUSED.get(name)


def read(path: Path) -> tuple[str, int, int]:
    if container_of(path) == "text":
        text = read_documents(path)
        return text.format, text.rows, len(text.documents)
    kind = open_source(path).kind
    if kind == "pairs":
        pairs = read_pairs(path, on_identical="keep", on_empty="keep", on_context_differs="keep")
        return pairs.format, pairs.rows, len(pairs.pairs)
    if kind == "demonstrations":
        demonstrations = read_demonstrations(path)
        return demonstrations.format, demonstrations.rows, len(demonstrations.demonstrations)
    if kind == "documents":
        documents = read_documents(path)
        return documents.format, documents.rows, len(documents.documents)
    prompts = read_prompts(path)
    return prompts.format, prompts.rows, len(prompts.prompts)


@pytest.mark.skipif(not ROOT.is_dir(), reason="the public data files are not beside this checkout (../shared/data)")
def test_every_listed_file_is_there() -> None:
    assert {*READ, *REFUSED} - set(found_files()) == set()


@pytest.mark.skipif(not ROOT.is_dir(), reason="the public data files are not beside this checkout (../shared/data)")
@pytest.mark.parametrize("name", found_files())
def test_a_file_is_imported_or_refused_with_a_reason(name: str) -> None:
    expected = expectation(name)
    assert expected is not None, f"{name} is in neither list"
    if isinstance(expected, str):
        with pytest.raises(DataError) as refusal:
            read(ROOT / name)
        assert expected in str(refusal.value) and str(ROOT / name) in str(refusal.value)
    else:
        assert read(ROOT / name) == expected


EMBEDDED = {
    "demonstrations.jsonl": "conversations",
    "docs.txt": "text",
    "held_out.jsonl": "prompts",
    "pairs.csv": "csv",
    "pairs_dialogue.jsonl": "boresight",
    "pairs_faulty.csv": "csv",
    "prompts.jsonl": "prompts",
}


@pytest.mark.parametrize("path", sorted(EXAMPLE.iterdir()), ids=lambda path: path.name)
def test_a_file_of_the_embedded_example_is_imported(path: Path) -> None:
    form, rows, records = read(path)
    assert (form, records) == (EMBEDDED[path.name], rows) and rows > 0
