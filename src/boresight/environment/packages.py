"""Which packages this installation asks for, which of them are there, and the line that brings those that are not.

Read from the metadata of what is installed: nothing is imported.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement

NAME = "boresight"
NOT_FOR_USERS = ("dev",)
"""Extras that only a checkout needs."""


@dataclass(frozen=True, slots=True)
class Package:
    """One requirement: `wanted` is its range as written, `found` the version that is installed, None where none is."""

    name: str
    wanted: str
    found: str | None
    fits: bool


@dataclass(frozen=True, slots=True)
class Extra:
    """A group of packages for one purpose; `applies` is False where this system is none that they are for."""

    name: str
    packages: tuple[Package, ...]
    applies: bool = True

    @property
    def lacking(self) -> tuple[Package, ...]:
        return tuple(package for package in self.packages if not package.fits)

    @property
    def install(self) -> str | None:
        """The line that brings what is missing; None where nothing is."""
        return f"pip install '{NAME}[{self.name}]'" if self.lacking else None


def core_packages(lines: Iterable[str] | None = None) -> tuple[Package, ...]:
    """What every installation needs. `lines`: requirements in the form of PEP 508, by default our own."""
    return tuple(package_of(one) for one in _requirements(lines) if "extra" not in str(one.marker or ""))


def extras(lines: Iterable[str] | None = None, names: Iterable[str] | None = None) -> tuple[Extra, ...]:
    """Every extra but those for a checkout and `all`, which is made of others."""
    known = list(names) if names is not None else metadata(NAME).get_all("Provides-Extra", [])
    needed = _requirements(lines)
    found = []
    for name in known:
        if name in (*NOT_FOR_USERS, "all"):
            continue
        named = [one for one in needed if one.marker is not None and f'extra == "{name}"' in str(one.marker)]
        here = tuple(
            package_of(one) for one in named if one.marker is not None and one.marker.evaluate({"extra": name})
        )
        found.append(Extra(name, here, applies=bool(here)))
    return tuple(found)


def package_of(requirement: Requirement) -> Package:
    """The requirement held against what is installed."""
    try:
        found: str | None = version(requirement.name)
    except PackageNotFoundError:
        found = None
    fits = found is not None and requirement.specifier.contains(found, prereleases=True)
    return Package(requirement.name, str(requirement.specifier), found, fits)


def _requirements(lines: Iterable[str] | None) -> list[Requirement]:
    return [Requirement(line) for line in (requires(NAME) or () if lines is None else lines)]
