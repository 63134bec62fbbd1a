"""Filter and split from file to file: what stays is written as our own records, and what goes lies beside it."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boresight.data.filters import Filtered, Filters, Reasons, filter_pairs, marked
from boresight.data.jsonl import write_records
from boresight.data.lint.row import part_of
from boresight.data.lint.select import rows_of_findings
from boresight.data.lint.sources import Columns, read_all_pairs, read_all_prompts
from boresight.data.preferences import join_pairs
from boresight.data.split import Split, split_pairs
from boresight.errors import DataError
from boresight.records import PreferencePair, Prompt

WRITTEN = (".jsonl", ".jsonl.gz")


@dataclass(frozen=True, slots=True)
class FilteredFile:
    """`dropped_file` is written where nothing was dropped too, so that none of an earlier run stands in its place."""

    rows: int
    kept: int
    dropped: dict[str, int]
    out: Path
    dropped_file: Path

    def as_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "kept": self.kept,
            "dropped": self.dropped,
            "out": str(self.out),
            "dropped_file": str(self.dropped_file),
        }


def filter_file(
    source: Path,
    out: Path,
    filters: Filters,
    *,
    drop_lint: Sequence[str] = (),
    only_lint: Sequence[str] = (),
    evaluation: Sequence[Path] = (),
    columns: Columns = None,
) -> FilteredFile:
    """Write the pairs that stay to `out`, the others with their reason in `meta.dropped` to a file beside it.

    `drop_lint` drops the rows that these findings point at, `only_lint` all others. Raises DataError where no filter
    is named or `out` is no place for records.
    """
    if filters == Filters() and not drop_lint and not only_lint:
        raise DataError("filter: no filter is named; expected one or more, such as --max-length-ratio 2.")
    if "length_bias" in drop_lint:
        raise DataError(
            "filter: to drop every pair whose chosen response is longer would bias the rest the other way; expected "
            "--balance-length, which drops the excess, or --max-length-ratio."
        )
    _check_out(out, source)
    pairs = read_all_pairs(source, columns)
    prompts = read_all_prompts(evaluation)
    done = Filtered(pairs, [])
    if only_lint:
        done = done.then(_all_but(rows_of_findings(pairs, only_lint, prompts), len(pairs)))
    if drop_lint:
        done = done.then(_found(done.kept, drop_lint, prompts))
    filtered = filter_pairs(done.kept, filters)
    dropped = [*done.dropped, *filtered.dropped]
    beside = dropped_path(out)
    _check_out(beside, source)
    write_records(out, filtered.kept)
    write_records(beside, [marked(item) for item in dropped])
    return FilteredFile(len(pairs), len(filtered.kept), dict(Counter(item.reason for item in dropped)), out, beside)


@dataclass(frozen=True, slots=True)
class SplitFiles:
    """`strata` are rows of each kind by part; of several sources also told apart by their file."""

    rows: int
    files: dict[str, Path]
    split: Split
    strata: dict[str, dict[str, int]]

    def as_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "parts": {
                name: {"file": str(self.files[name]), "rows": len(pairs)} for name, pairs in self.split.parts.items()
            },
            "aside": {"file": str(self.files["aside"]), "rows": len(self.split.aside)},
            "groups": self.split.groups,
            "strata": self.strata,
            "near_duplicates_searched": self.split.searched,
        }


def split_files(
    sources: Sequence[Path], folder: Path, shares: Mapping[str, float], seed: int, columns: Columns = None
) -> SplitFiles:
    """Write one file for each part, and `aside.jsonl` for rows that lie between two parts, into the folder."""
    for name in shares:
        if name == "aside" or Path(name).name != name or name.startswith("."):
            raise DataError(f"split: {name!r} is no name for a part; expected a plain word such as train or test.")
    read = [read_all_pairs(path, columns) for path in sources]
    pairs = join_pairs(read)
    split = split_pairs(pairs, shares, seed)
    origins = [path.name for path, rows in zip(sources, read, strict=True) for _ in rows]
    origin_of = {pair.id: origin for pair, origin in zip(pairs, origins, strict=True)}
    files = {name: folder / f"{name}.jsonl" for name in (*shares, "aside")}
    for path in files.values():
        _check_out(path, *sources)
    for name, rows in {**split.parts, "aside": split.aside}.items():
        write_records(files[name], rows)

    def name_of(pair: PreferencePair) -> str:
        return " ".join(filter(None, (origin_of[pair.id] if len(sources) > 1 else "", part_of(pair))))

    return SplitFiles(len(pairs), files, split, split.strata(name_of))


def dropped_path(out: Path) -> Path:
    """pairs.jsonl.gz -> pairs.dropped.jsonl.gz."""
    ending = next(ending for ending in reversed(WRITTEN) if out.name.endswith(ending))
    return out.with_name(f"{out.name.removesuffix(ending)}.dropped{ending}")


def _check_out(out: Path, *sources: Path) -> None:
    if not out.name.endswith(WRITTEN):
        raise DataError(
            f"{out}: records are written as JSON Lines; expected a name that ends in {' or '.join(WRITTEN)}."
        )
    if any(out.exists() and source.exists() and out.samefile(source) for source in sources):
        raise DataError(f"{out}: this is the file that is read; expected another one. Choose another name for --out.")


def _all_but(rows: Collection[int], count: int) -> Reasons:
    return dict.fromkeys((row for row in range(count) if row not in rows), "not_in_finding")


def _found(pairs: Sequence[PreferencePair], finding_ids: Sequence[str], prompts: Sequence[Prompt]) -> Reasons:
    return dict(rows_of_findings(pairs, finding_ids, prompts)) if pairs else {}
