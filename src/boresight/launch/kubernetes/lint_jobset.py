"""Rules of a JobSet: machines and processes of its command are those of its pods, and exit codes mean what they say."""

from collections.abc import Iterator, Mapping
from typing import Any

from boresight.launch.kubernetes.jobs import BAD_INPUT_OR_GATE, LAUNCH
from boresight.launch.kubernetes.lint_pods import word_after
from boresight.launch.kubernetes.manifests import Finding, Loaded, dig
from boresight.launch.kubernetes.pods import GPU

RUN = ["boresight", "run"]
PLAIN = "torchrun"


def lint_jobset(loaded: Loaded) -> Iterator[Finding]:
    """What is wrong with a JobSet beside its pods."""
    for replicated in dig(loaded.body, "spec", "replicatedJobs") or []:
        job = dig(replicated, "template", "spec") or {}
        for container in dig(job, "template", "spec", "containers") or []:
            words = [str(word) for word in container.get("command") or []]
            several = words[: len(LAUNCH)] == LAUNCH
            if several:
                yield from _layout(loaded, job, container)
            if several or words[: len(RUN)] == RUN:
                yield from _told_apart(loaded, job)
            elif PLAIN in words and 1 in _final_codes(job):
                message = (
                    "plain torchrun exits with 1 whatever happened, and 1 is not tried again; expected the command "
                    f"{' '.join(LAUNCH)}"
                )
                yield Finding("exit-codes", loaded.where, message)


def _layout(loaded: Loaded, job: Mapping[str, Any], container: Mapping[str, Any]) -> Iterator[Finding]:
    """As many pods as machines wait for each other, and a GPU for each process."""
    pods, nodes = str(job.get("completions", 1)), word_after(container, "--nodes") or "1"
    if nodes != pods or str(job.get("parallelism", 1)) != pods:
        message = f"the command waits for {nodes} machines, and of {pods} pods {job.get('parallelism', 1)} run at once"
        yield Finding("layout", loaded.where, message)
    if pods != "1" and job.get("completionMode") != "Indexed":
        message = "no pod is told that it is the place to meet; expected completionMode: Indexed"
        yield Finding("layout", loaded.where, message)
    gpus, processes = dig(container, "resources", "limits", GPU), word_after(container, "--processes")
    if gpus and processes not in (None, str(gpus)):
        yield Finding("layout", loaded.where, f"the command starts {processes} processes on the {gpus} GPUs of a pod")


def _told_apart(loaded: Loaded, job: Mapping[str, Any]) -> Iterator[Finding]:
    if missing := [code for code in BAD_INPUT_OR_GATE if code not in _final_codes(job)]:
        message = (
            f"exit codes {missing} (2: bad input, 1: a gate did not hold) are tried again in vain; expected them in "
            "podFailurePolicy, with the action FailJob"
        )
        yield Finding("exit-codes", loaded.where, message)
    elif not any("PodFailurePolicy" in (rule.get("onJobFailureReasons") or []) for rule in _rules(loaded)):
        message = (
            "the JobSet starts a job again that ended for good; expected a rule FailJobSet of failurePolicy for "
            "the reason PodFailurePolicy"
        )
        yield Finding("exit-codes", loaded.where, message)


def _rules(loaded: Loaded) -> list[Mapping[str, Any]]:
    rules = dig(loaded.body, "spec", "failurePolicy", "rules") or []
    return [rule for rule in rules if rule.get("action") == "FailJobSet"]


def _final_codes(job: Mapping[str, Any]) -> set[int]:
    """Exit codes that end the job for good."""
    rules = [rule for rule in dig(job, "podFailurePolicy", "rules") or [] if rule.get("action") == "FailJob"]
    told = [rule.get("onExitCodes") or {} for rule in rules]
    return {code for codes in told if codes.get("operator") == "In" for code in codes.get("values") or []}
