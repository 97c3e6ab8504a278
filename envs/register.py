"""A folder as a register: a `kind` names a file in it, whose one public class holds the rest of the settings."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

from envs.calibration import Section


def kinds(package: str) -> tuple[str, ...]:
    """The names of the files in `package`."""
    paths = importlib.import_module(package).__path__
    return tuple(sorted(found.name for found in pkgutil.iter_modules(paths)))


def public_class(package: str, kind: str) -> type[Any]:
    """The one public class with settings that the file `kind` of `package` defines; ValueError for an unknown kind."""
    public = [c for c in classes(package, kind) if "kind" in getattr(c, "model_fields", ()) or hasattr(c, "Settings")]
    assert len(public) == 1, f"{package}.{kind} defines {len(public)} public classes that take settings"
    return public[0]


def classes(package: str, kind: str) -> list[type[Any]]:
    """The public classes that the file `kind` of `package` defines. Raises ValueError for an unknown kind."""
    if kind not in (known := kinds(package)):
        raise ValueError(f"kind {kind!r} is unknown; use one of {', '.join(known)}")
    module = importlib.import_module(f"{package}.{kind}")
    return [
        c for n, c in vars(module).items() if inspect.isclass(c) and c.__module__ == module.__name__ and n[0] != "_"
    ]


def parsed(package: str, raw: Any, default: str) -> Any:
    """`raw` (a mapping with a `kind`, or an object made before) as the section of that kind."""
    if not isinstance(raw, dict):
        return raw
    kind = raw.get("kind", default)
    section: type[Section] = public_class(package, str(kind))
    return section.model_validate({**raw, "kind": kind})
