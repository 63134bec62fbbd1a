"""One exception family: everything a user can mend is a BoresightError and exits 2 without a traceback."""


class BoresightError(Exception):
    """Bad input or a state that the user can mend; the message says what, where, what was expected and what to do."""

    label = "error"


class ConfigError(BoresightError):
    """One or more faults of a pipeline file, all of them at once."""

    label = "config error"

    def __init__(self, problems: str | list[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class DataError(BoresightError):
    """A record that cannot be used as it is: names file, line and record id."""

    label = "data error"


class ModelError(BoresightError):
    """A model folder, tokenizer or chat template that cannot do what the stage needs."""

    label = "model error"


class CheckpointError(BoresightError):
    """Saved state that does not belong to the run that would go on from it."""

    label = "checkpoint error"


class StorageError(BoresightError):
    """A result could not be written (full disk, missing rights); what stood there before is untouched."""

    label = "storage error"


class TrainingError(BoresightError):
    """A run that must not go on: a non-finite loss or gradient, a broken invariant."""

    label = "training error"


class PausedError(BoresightError):
    """A run that waits for somebody to look at a finding; run again, it goes on."""

    label = "paused"


class ServiceError(BoresightError):
    """A service over HTTP that stays out of reach, or answers otherwise than agreed."""

    label = "service error"


class ClusterError(BoresightError):
    """A cluster that cannot be joined, or whose actors do not stay alive."""

    label = "cluster error"


class JudgeError(BoresightError):
    """A judge that cannot be asked or whose answers cannot be read."""

    label = "judge error"


class PlanError(BoresightError):
    """A plan that cannot be carried out on the hardware given."""

    label = "plan error"
