"""Rules over the responses themselves: one answer for all, loops, phrases that pay; and the table of all such rules."""

from collections import Counter
from typing import NamedTuple

from boresight.diagnosis.responses import (
    SHOWN,
    Sample,
    commonest,
    distinct_share,
    grams,
    repetition,
    scores,
    welch,
    windows,
)
from boresight.diagnosis.rules.movement import SURE
from boresight.diagnosis.rules.paid_responses import PAID_RULES
from boresight.diagnosis.rules.response_rule import ResponseRule, Window, seen_in, two_shares
from boresight.diagnosis.rules.rule import Finding, Severity
from boresight.diagnosis.signals import Evidence

LONGEST_PHRASE = 4
PHRASE_Z = 3.3
"""|z| that chance gives in 1 of 1,000: very many phrases are looked at."""

MOST_PHRASES = 20
"""Phrases that are held against the reward: they are in order, and a text has many."""

STUFFED = 3.0
"""Times in one answer from which a phrase is stuffing."""

FEWEST_PAIRS = 100
"""Pairs of words in a window below which no share of different ones is told."""


class Phrase(NamedTuple):
    """Words in a row, the share of responses that have them early and late, and how often a late one has them."""

    text: str
    before: float
    after: float
    times: float


def identical_outputs(samples: Window) -> Finding | None:
    """One answer to different prompts, answers that loop, or ever fewer different words."""
    found = windows(samples)
    return None if found is None else _one_answer(*found) or _loops(*found) or _few_words(*found)


def _one_answer(early: Window, late: Window) -> Finding | None:
    text, share = commonest(late)
    before = sum(" ".join(sample.response.lower().split()) == text for sample in early) / len(early)
    same = [sample for sample in late if " ".join(sample.response.lower().split()) == text]
    prompts = len({sample.prompt for sample in same})
    if share < 0.6 or before > 0.5 * share or prompts < 4:
        return None
    return _collapsed(
        "error" if share >= 0.9 else "warning",
        f"{share:.0%} of the late answers are one text, given to {prompts} prompts; at first {before:.0%} were.",
        seen_in("responses that are one text", before, share, early, late),
        same,
    )


def _loops(early: Window, late: Window) -> Finding | None:
    before, after = ([repetition(sample.response) for sample in window] for window in (early, late))
    first, last = sum(before) / len(before), sum(after) / len(after)
    if last <= max(1.75 * first, 0.2) or welch(before, after) < SURE:
        return None
    return _collapsed(
        "error" if last > 0.5 else "warning",
        f"Answers repeat themselves: {last:.0%} of their 4-grams of words stand in them before, at first {first:.0%}.",
        seen_in("repeated 4-grams of words", first, last, early, late),
        sorted(late, key=lambda sample: -repetition(sample.response)),
    )


def _few_words(early: Window, late: Window) -> Finding | None:
    size = min(distinct_share(early)[1], distinct_share(late)[1])
    before, after = distinct_share(early, size)[0], distinct_share(late, size)[0]
    if size < FEWEST_PAIRS or after >= 0.5 * before:
        return None
    return _collapsed(
        "warning",
        f"Of the pairs of words in a window {after:.0%} differ, at first {before:.0%} did, at equal amounts of text.",
        seen_in("different pairs of words", before, after, early, late),
        late[-SHOWN:],
    )


def _collapsed(severity: Severity, cause: str, seen: tuple[Evidence, ...], shown: Window) -> Finding:
    return Finding(
        "identical_outputs",
        severity,
        f"{cause} The policy writes ever more of the same.",
        seen,
        "Read the answers shown; the reward model likes them. Go back to a checkpoint from before, raise the KL "
        "coefficient or add an entropy bonus, and teach the reward model by pairs that reject such answers.",
        "Zheng et al. 2023 (arXiv:2307.04964) on pattern collapse; Li et al. 2016 (arXiv:1510.03055) on distinct-n",
        tuple(shown[:SHOWN]),
    )


def exploited_phrases(samples: Window) -> Finding | None:
    """Phrases that came to stand in most answers while the reward rose, and that pay within the same steps too."""
    found = windows(samples)
    if found is None or welch(scores(found[0]), scores(found[1])) < SURE:
        return None
    early, late = found
    phrases = [phrase for phrase in _risen(early, late)[:MOST_PHRASES] if _pays(phrase.text, samples)]
    if not phrases:
        return None
    told = [phrases[0], *(phrase for phrase in phrases[1:] if phrase.text not in phrases[0].text)][:SHOWN]
    stuffed = any(phrase.times >= STUFFED for phrase in told)
    everywhere = any(_in_all_kinds(phrase.text, late) for phrase in told)
    named = ", ".join(f'"{phrase.text}" ({phrase.before:.0%} to {phrase.after:.0%} of the answers)' for phrase in told)
    why = (
        " It stands in one answer several times."
        if stuffed
        else " It opens or fills answers of every kind of prompt."
        if everywhere
        else " That may be what was to be learnt; read them."
    )
    holding = [sample for sample in late if _has(told[0].text, sample)]
    return Finding(
        "reward_hacking",
        "warning" if stuffed or everywhere else "note",
        f"{'Suspected: p' if stuffed or everywhere else 'P'}hrases that rose together with the reward: {named}.{why}",
        tuple(
            one
            for phrase in told
            for one in seen_in(f'answers with "{phrase.text}"', phrase.before, phrase.after, early, late)
        ),
        "Score the same answer with and without the phrase. Where the phrase itself pays, add pairs that differ only "
        "in it to the preferences, train the reward model again and start from the last checkpoint before it rose.",
        "Gao et al. 2022 (arXiv:2210.10760); Denison et al. 2024 (arXiv:2406.10162)",
        tuple(sorted(holding, key=lambda sample: -(sample.score or 0.0))[:SHOWN]),
    )


def _risen(early: Window, late: Window) -> list[Phrase]:
    """Phrases in at least 6 of 10 late answers and 5 of 10 more than before, beyond chance: first those that one
    answer has several times, then the longest."""
    before, after = _holders(early), _holders(late)
    found = []
    for text, count in after.items():
        share, first = count / len(late), before[text] / len(early)
        if share < 0.6 or share - first < 0.5 or two_shares(before[text], len(early), count, len(late)) < PHRASE_Z:
            continue
        size = text.count(" ") + 1
        times = sum(grams(sample.response, size).count(text) for sample in late) / count
        found.append(Phrase(text, first, share, times))
    return sorted(
        found, key=lambda phrase: (phrase.times < STUFFED, -round(phrase.after - phrase.before, 1), -len(phrase.text))
    )


def _holders(window: Window) -> Counter[str]:
    """In how many answers each phrase stands."""
    return Counter(
        phrase
        for sample in window
        for phrase in {gram for size in range(1, LONGEST_PHRASE + 1) for gram in grams(sample.response, size)}
    )


def _has(text: str, sample: Sample) -> bool:
    return text in grams(sample.response, text.count(" ") + 1)


def _pays(text: str, samples: Window) -> bool:
    """Within a fifth of the run, answers with the phrase earn more than those without; or no fifth has both."""
    size = -(-len(samples) // 5)
    gain = weight = 0.0
    for start in range(0, len(samples), size):
        block = samples[start : start + size]
        holding = scores([sample for sample in block if _has(text, sample)])
        others = scores([sample for sample in block if not _has(text, sample)])
        if min(len(holding), len(others)) >= 2:
            counted = min(len(holding), len(others))
            gain += counted * (sum(holding) / len(holding) - sum(others) / len(others))
            weight += counted
    return weight == 0 or gain > 0


def _in_all_kinds(text: str, late: Window) -> bool:
    """At least 9 of 10 answers to each of two kinds or more."""
    kinds = {sample.kind for sample in late if sample.kind}
    shares = [
        sum(_has(text, sample) for sample in of_kind) / len(of_kind)
        for kind in kinds
        if len(of_kind := [sample for sample in late if sample.kind == kind]) >= 4
    ]
    return len(shares) >= 2 and min(shares) >= 0.9


RESPONSE_RULES = (
    *PAID_RULES,
    ResponseRule(
        "reward_hacking",
        "phrases that come to stand in 6 of 10 answers (from fewer, by 5 of 10) while the reward rises, and that earn "
        "more within the same steps; more than a note where one answer has them several times or every kind of prompt "
        "gets them",
        exploited_phrases,
    ),
    ResponseRule(
        "identical_outputs",
        "one text in 6 of 10 late answers (error: 9) and to 4 prompts at least; 4-grams that repeat (error: half of "
        "them); half as many different pairs of words as at first",
        identical_outputs,
    ),
)
