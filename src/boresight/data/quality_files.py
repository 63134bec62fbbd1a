"""Filter and split from file to file: what stays is written as our own records, and what goes lies beside it.

A file is read once to decide and once more to write, so that its texts are never held; it may be larger than memory.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from boresight.data.filters import Dropped, Filters, Reasons, drop_reasons, marked
from boresight.data.jsonl import write_parted
from boresight.data.length_balance import LengthWeights, weigh
from boresight.data.lint.row import part_of
from boresight.data.lint.select import rows_of_findings, rows_outside_findings
from boresight.data.lint.sources import Columns, PairsOfFile, read_all_prompts
from boresight.data.preferences import with_own_ids
from boresight.data.split import Groups, Placement, place, strata
from boresight.errors import DataError
from boresight.records import PreferencePair

WRITTEN = (".jsonl", ".jsonl.gz")
ASIDE = "aside"


@dataclass(frozen=True, slots=True)
class FilteredFile:
    """`dropped_file` is written where nothing was dropped too, so that none of an earlier run stands in its place."""

    rows: int
    kept: int
    dropped: dict[str, int]
    out: Path
    dropped_file: Path
    weights: LengthWeights | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "kept": self.kept,
            "dropped": self.dropped,
            "out": str(self.out),
            "dropped_file": str(self.dropped_file),
            **({"length_weights": self.weights.as_json()} if self.weights else {}),
        }


def filter_file(
    source: Path,
    out: Path,
    filters: Filters,
    *,
    drop_lint: Sequence[str] = (),
    only_lint: Sequence[str] = (),
    evaluation: Sequence[Path] = (),
    reweight: bool = False,
    columns: Columns = None,
) -> FilteredFile:
    """Write the pairs that stay to `out`, the others with their reason in `meta.dropped` to a file beside it.

    `drop_lint` drops the rows that these findings point at, `only_lint` all others; `reweight` gives the pairs that
    stay a weight in `meta.weight` that evens out their lengths. Raises DataError where no filter is named or `out` is
    no place for records.
    """
    if filters == Filters() and not drop_lint and not only_lint and not reweight:
        raise DataError("filter: no filter is named; expected one or more, such as --max-length-ratio 2. Name one.")
    if "length_bias" in drop_lint:
        raise DataError(
            "filter: to drop every pair whose chosen response is longer would bias the rest the other way; expected "
            "--balance-length drop, which drops the excess, or --max-length-ratio."
        )
    beside = dropped_path(_checked_out(out, source))
    _checked_out(beside, source)
    prompts = read_all_prompts(evaluation)
    left = _Left(PairsOfFile(source, columns), _state(source))
    if only_lint:
        left.drop(dict.fromkeys(rows_outside_findings(left, only_lint, prompts), "not_in_finding"))
    if drop_lint and any(True for _ in left):
        left.drop(rows_of_findings(left, drop_lint, prompts))
    if filters != Filters():
        left.drop(drop_reasons(left, filters))
    weights = weigh(left) if reweight else None
    rows = write_parted({"kept": out, "dropped": beside}, left.told_apart(weights))
    dropped = dict(sorted(Counter(left.gone.values()).items()))
    return FilteredFile(rows.total(), rows["kept"], dropped, out, beside, weights)


@dataclass(slots=True)
class _Left:
    """The pairs of a file without those that are gone, read anew each time they are gone through."""

    pairs: PairsOfFile
    state: tuple[int, int]
    gone: Reasons = field(default_factory=dict)

    def __iter__(self) -> Iterator[PreferencePair]:
        return (pair for position, pair in enumerate(self.pairs) if position not in self.gone)

    def drop(self, reasons: Mapping[int, str]) -> None:
        """Pairs at these positions among those left."""
        left = (position for position in count() if position not in self.gone)
        numbered = zip(range(max(reasons, default=-1) + 1), left, strict=False)
        self.gone |= {position: reasons[number] for number, position in numbered if number in reasons}

    def told_apart(self, weights: LengthWeights | None) -> Iterator[tuple[str, PreferencePair]]:
        """All pairs of the file: the kept ones with their weights, the dropped ones with the reason."""
        for position, pair in enumerate(self.pairs):
            if reason := self.gone.get(position):
                yield "dropped", marked(Dropped(pair, reason))
            else:
                yield "kept", weights.mark(pair) if weights else pair
        _check_unchanged({self.pairs.path: self.state})


@dataclass(frozen=True, slots=True)
class SplitFiles:
    """`rows` are counted by part, `strata` by kind and part; of several sources also told apart by their file."""

    files: dict[str, Path]
    rows: dict[str, int]
    placement: Placement
    strata: dict[str, dict[str, int]]

    @property
    def parts(self) -> list[str]:
        return [name for name in self.files if name != ASIDE]

    def as_json(self) -> dict[str, Any]:
        return {
            "rows": sum(self.rows.values()),
            "parts": {name: {"file": str(self.files[name]), "rows": self.rows[name]} for name in self.parts},
            ASIDE: {"file": str(self.files[ASIDE]), "rows": self.rows[ASIDE]},
            "groups": self.placement.groups,
            "strata": self.strata,
            "near_duplicates_searched": self.placement.searched,
        }


def split_files(
    sources: Sequence[Path],
    folder: Path,
    shares: Mapping[str, float],
    seed: int,
    columns: Columns = None,
    groups: Groups = "paraphrases",
) -> SplitFiles:
    """Write one file for each part, and `aside.jsonl` for rows that lie between two parts, into the folder. Raises
    DataError for a part whose name is no plain word, and for sources that change meanwhile."""
    for name in shares:
        if name == ASIDE or Path(name).name != name or name.startswith("."):
            raise DataError(
                f"split: {name!r} is no name for a part; expected a plain word such as train or test. Rename the part."
            )
    files = {name: _checked_out(folder / f"{name}.jsonl", *sources) for name in (*shares, ASIDE)}
    states = {path: _state(path) for path in sources}
    placement = place((pair.prompt for _, pair in _pairs_of_files(sources, columns)), shares, seed, groups)
    met = {name: Counter[str]() for name in files}

    def placed() -> Iterator[tuple[str, PreferencePair]]:
        for part, (origin, pair) in zip(placement.parts, _pairs_of_files(sources, columns), strict=False):
            stratum = f"{origin} {part_of(pair)}".strip() if len(sources) > 1 else part_of(pair)
            met[part or ASIDE][stratum] += 1
            yield part or ASIDE, pair
        _check_unchanged(states)

    write_parted(files, placed())
    rows = {name: counts.total() for name, counts in met.items()}
    return SplitFiles(files, rows, placement, strata({name: met[name] for name in shares}))


def _pairs_of_files(sources: Sequence[Path], columns: Columns) -> Iterator[tuple[str, PreferencePair]]:
    """The pairs of all files, each with its file's name."""
    taken: set[str] = set()
    for number, path in enumerate(sources, start=1):
        for pair in with_own_ids(PairsOfFile(path, columns), number, taken):
            yield path.name, pair


def dropped_path(out: Path) -> Path:
    """pairs.jsonl.gz -> pairs.dropped.jsonl.gz."""
    ending = next(ending for ending in reversed(WRITTEN) if out.name.endswith(ending))
    return out.with_name(f"{out.name.removesuffix(ending)}.dropped{ending}")


def _checked_out(out: Path, *sources: Path) -> Path:
    if not out.name.endswith(WRITTEN):
        raise DataError(
            f"{out}: records are written as JSON Lines; expected a name that ends in {' or '.join(WRITTEN)}. Rename it."
        )
    if any(out.exists() and source.exists() and out.samefile(source) for source in sources):
        raise DataError(f"{out}: this is the file that is read; expected another one. Choose another name for --out.")
    return out


def _state(path: Path) -> tuple[int, int]:
    """What tells that a file was written to; of one that is absent the reading itself will tell."""
    if not path.exists():
        return 0, 0
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _check_unchanged(states: Mapping[Path, tuple[int, int]]) -> None:
    for path, state in states.items():
        if _state(path) != state:
            raise DataError(
                f"{path}: the file was written to while it was read, so that what was decided no longer fits its rows; "
                "nothing was written. Run the command again when the file stays as it is."
            )
