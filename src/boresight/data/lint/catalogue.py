"""Every finding of the lint: what it says, and what to do about it. The ids stay the same."""

from typing import NamedTuple


class Entry(NamedTuple):
    """`warns`: when the finding is more than a note."""

    what: str
    warns: str
    advice: str


DROP = "Leave the rows out: `boresight data filter FILE --drop-lint {} --out FILE`."
NEVER = "never"

CATALOGUE: dict[str, Entry] = {
    "identical_answers": Entry(
        "chosen and rejected are the same text",
        "always an error",
        DROP.format("identical_answers"),
    ),
    "empty_answer": Entry(
        "an answer holds no text",
        "always an error",
        DROP.format("empty_answer") + " If empty is meant as a refusal, write the refusal out.",
    ),
    "length_bias": Entry(
        "how often the chosen answer is the longer one, by part of the data, with the accuracy of a rule that sees "
        "length alone",
        "longer wins more often than chance and by 0.2 deviations or more; or shorter wins in 75% or more",
        "Balance the lengths (`boresight data filter --balance-length drop`, in a pipeline `filters: {balance_length: "
        "true}`) or cap them (`--max-length-ratio 2`, `max_length_ratio: 2`), then look whether the reward model beats "
        "the length rule.",
    ),
    "padded_chosen": Entry(
        "the chosen answer is the rejected one with 30% or more added",
        "2% of the rows or more, and more often than the other way round",
        "Read the examples: where only filler was added, swap the answers or leave the rows out "
        "(`boresight data filter --drop-lint padded_chosen`).",
    ),
    "exact_duplicate": Entry(
        "the row stands in the data already, word for word",
        "1% of the rows or more",
        "Drop them: `boresight data filter FILE --dedupe exact --out FILE`.",
    ),
    "near_duplicate": Entry(
        "the row stands in the data already but for small changes (90% of its three-word runs)",
        "1% of the rows or more",
        "Drop them: `boresight data filter FILE --dedupe near --out FILE`.",
    ),
    "near_duplicates_not_searched": Entry(
        "rensa is not installed", NEVER, "Install it: `pip install 'boresight[data]'`."
    ),
    "duplicate_across_splits": Entry(
        "the row stands, exactly or nearly, in another of the given files",
        "always",
        "Join the files and part them again by prompt: `boresight data split`.",
    ),
    "prompt_across_splits": Entry(
        "the prompt stands in another of the given files",
        "always",
        "Join the files and part them again by prompt: `boresight data split`.",
    ),
    "contradictory": Entry(
        "another row of the same prompt prefers the other answer",
        "1% of the rows or more",
        "Look at the examples: decide which is right, or keep the share as a soft label (p_chosen). To leave both out: "
        "`boresight data filter --drop-lint contradictory`.",
    ),
    "preference_cycle": Entry(
        "preferences of one prompt form a ring",
        "1% of the rows or more",
        "Ask for whole rankings, or leave the ring out: `boresight data filter --drop-lint preference_cycle`.",
    ),
    "tie": Entry(
        "neither answer was preferred",
        "5% of the rows or more",
        "Drop them (`boresight data filter --drop-ties`, in a pipeline `filters: {ties: drop}`), or train with a loss "
        "that takes soft labels.",
    ),
    "off_topic_rejected": Entry(
        "the rejected answer shares no word with the prompt nor with the chosen answer",
        "5% of the rows or more; or rejected answers fit their question hardly better than those of other rows",
        "Replace them by near misses: sample the rejected answers from the model that will be trained.",
    ),
    "sycophancy": Entry(
        "where a prompt states something, the answer that agrees is the chosen one",
        "more often than the other way round, with an interval above one half",
        "Read the chosen answers that agree with something false and swap them with the correction.",
    ),
    "style_cue": Entry(
        'markdown, lists, apologies, "As an AI", praise, exclamation marks, emoji or a question back predict the label',
        "the chosen answer has the cue in two thirds or more of the pairs in which one answer has it",
        "Decide whether this style is wanted. If not, balance it: write some rejected answers in it, or take it out.",
    ),
    "truncated_answer": Entry(
        "the chosen answer stops without an end of sentence",
        "10% of the rows or more",
        "Generate with a higher limit, or leave the rows out: `boresight data filter --drop-lint truncated_answer`.",
    ),
    "refusal": Entry(
        "an answer opens with a refusal",
        "only the chosen one does, in 25% of the rows or more",
        "Read the examples: where the question is harmless, the refusal should not win.",
    ),
    "turn_order": Entry(
        "turns are missing, empty or out of order",
        "1% of the rows or more",
        "Correct the conversations; a prompt ends with the user, and roles take turns.",
    ),
    "turn_in_answer": Entry(
        "an answer goes on with another turn",
        "1% of the rows or more",
        "Cut the answers where the next turn begins, or leave the rows out: "
        "`boresight data filter --drop-lint turn_in_answer`.",
    ),
    "special_tokens": Entry(
        "special tokens of a model stand in the text",
        "always",
        "Take them out: the chat template writes them, and in the text they can end an answer early.",
    ),
    "encoding_damage": Entry(
        "replacement characters, control characters, or UTF-8 read as Windows-1252",
        "0.1% of the rows or more",
        "Read the source again with the right encoding, or leave the rows out: "
        "`boresight data filter --drop-lint encoding_damage`.",
    ),
    "language_mix": Entry(
        "the chosen answer is in another language than its question",
        "2% of the questions whose language is told or more",
        "Leave the rows out, or say in the prompt which language is wanted.",
    ),
    "personal_data": Entry(
        "e-mail addresses and telephone numbers",
        "1% of the rows or more",
        "Replace them by placeholders: a model repeats what it read often.",
    ),
    "secret_key": Entry(
        "what looks like a secret key or token",
        "always",
        "Revoke the keys, and leave the rows out: `boresight data filter --drop-lint secret_key`.",
    ),
    "contamination": Entry(
        "the question is one of the evaluation prompts given with --eval",
        "always",
        "Leave the rows out: `boresight data filter FILE --drop-lint contamination --eval PROMPTS --out FILE`.",
    ),
    "uncovered_prompts": Entry(
        "prompts given with --prompts lie outside what the pairs cover",
        "10% of the prompts or more",
        "Label pairs for such prompts before rewarding them, or leave them out of PPO.",
    ),
    "prompt_kinds": Entry(
        "share of the demonstrations by kind of prompt",
        "one kind makes 90% or more",
        "Add demonstrations of other kinds: a model trained on one kind answers everything that way.",
    ),
    "no_small_talk": Entry(
        "no demonstration answers a greeting or small talk", "50 demonstrations or more", "Add some dozen of them."
    ),
    "no_multi_turn": Entry(
        "no demonstration has more than one turn of the user's",
        "50 demonstrations or more",
        "Add conversations in which the user comes back.",
    ),
}  # fmt: skip
