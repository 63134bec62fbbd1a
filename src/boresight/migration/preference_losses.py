"""TRL's names of preference losses, which Axolotl takes over, as settings of a `dpo` stage."""

from collections.abc import Mapping
from typing import Any

from boresight.migration.settings import Settings
from boresight.migration.training_arguments import DIFFERS

LOSSES: Mapping[str, dict[str, Any]] = {
    "sigmoid": {"loss": "sigmoid", "log_ratio": "sum"},
    "ipo": {"loss": "ipo", "log_ratio": "mean"},
    "robust": {"loss": "robust", "log_ratio": "sum"},
    "sigmoid_norm": {"loss": "sigmoid", "log_ratio": "mean"},
}


def dpo_loss(settings: Settings, key: str, weights_key: str) -> dict[str, Any]:
    """`loss`, `log_ratio` and `sft_coefficient` of TRL's list of losses and their weights."""
    names = settings.words(key, ["sigmoid"])
    weights = settings.raw(weights_key) or [1.0] * len(names)
    if not isinstance(weights, list) or len(weights) != len(names) or not all(_positive(w) for w in weights):
        settings.fault((weights_key,), weights, f"{len(names)} numbers above 0, one for each of {key}")
        weights = [1.0] * len(names)
    main = [(name, weight) for name, weight in zip(names, weights, strict=True) if name != "sft"]
    likelihood = sum(weight for name, weight in zip(names, weights, strict=True) if name == "sft")
    first = main[0] if main else ("", 1.0)
    if len(main) != 1 or first[0] not in LOSSES:
        settings.name(
            key, f"one of {', '.join(LOSSES)}, with or without sft, is what there is; sigmoid is nearest ({DIFFERS})"
        )
        return dict(LOSSES["sigmoid"])
    coefficient = likelihood / first[1]
    return LOSSES[first[0]] | ({"sft_coefficient": coefficient} if coefficient else {})


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
