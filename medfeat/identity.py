"""What an object does, as a digest: its class, its settings, and the code and constants that code of its package uses.

Comments, docstrings and other functions of the same file do not count; a changed grid, function or setting does. Code
of other packages counts by name alone. Python's own compiler is part of it: another version of Python may give another
digest.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import CodeType, FunctionType, GenericAlias, MethodType, ModuleType, UnionType
from typing import Any

PLAIN = (type(None), bool, int, float, complex, str, bytes)
# Of a class: what Python itself puts there, at once or when an object is first copied.
_NOT_CODE = ("_abc_impl", "__annotate_func__")
_METHODS = (FunctionType, staticmethod, classmethod, property)


def identity(thing: object, *, inside: Iterable[str] = ()) -> str:
    """Digest what an object does.

    Parameters
    ----------
    thing
        An object, a class or a function.
    inside
        Packages whose code counts, besides that of `thing` itself (``"medfeat.heads"``).

    Returns
    -------
    str
        32 hexadecimal digits.

    Examples
    --------
    >>> from fractions import Fraction
    >>> identity(Fraction(1, 2)) == identity(Fraction(1, 3))
    False
    """
    kind = thing if isinstance(thing, (type, FunctionType)) else type(thing)
    own = kind.__module__.partition(".")[0]
    packages = (*inside, *(() if own == "medfeat" else (own,)))
    spelled = _Speller(packages or (kind.__module__,))(thing)
    return hashlib.blake2b(json.dumps(spelled).encode(), digest_size=16).hexdigest()


class _Speller:
    """Spells objects as JSON values, each function, class and instance once."""

    def __init__(self, packages: tuple[str, ...]) -> None:
        self._packages = packages
        self._seen: dict[int, object] = {}  # keeps what it saw alive, so that no id is given twice
        self._values: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
            (PLAIN, repr),
            (Mapping, lambda value: ["map", *sorted([json.dumps(self(k)), self(v)] for k, v in value.items())]),
            ((tuple, list), lambda value: [type(value).__name__, *map(self, value)]),
            ((set, frozenset), lambda value: ["set", *sorted(json.dumps(self(inner)) for inner in value)]),
            (ModuleType, lambda value: ["module", value.__name__]),
            # an alias of a type has whatever the type has, and is none
            ((GenericAlias, UnionType), lambda value: ["type", str(value)]),
        )
        self._objects: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
            ((staticmethod, classmethod), lambda value: [type(value).__name__, self(value.__func__)]),
            (MethodType, lambda value: ["method", self(value.__self__), self(value.__func__)]),
            (property, lambda value: ["property", self(value.fget), self(value.fset)]),
            (functools.partial, lambda value: ["partial", self(value.func), self(value.args), self(value.keywords)]),
            (functools.cached_property, lambda value: ["property", self(value.func)]),
            (FunctionType, self._function),
            (type, self._class),
        )

    def __call__(self, value: object) -> Any:
        for kinds, spell in self._values:
            if isinstance(value, kinds):
                return spell(value)
        if id(value) in self._seen:
            return ["again", _name(value)]
        self._seen[id(value)] = value
        if not isinstance(value, type) and hasattr(value, "dtype") and hasattr(value, "tobytes"):
            return _array(value)
        spell = next((spell for kinds, spell in self._objects if isinstance(value, kinds)), self._instance)
        return spell(value)

    def _inside(self, module: object) -> bool:
        return any(str(module) == name or str(module).startswith(f"{name}.") for name in self._packages)

    def _function(self, function: FunctionType) -> Any:
        if not self._inside(function.__module__):
            return _name(function)
        names = sorted(set(_names(function.__code__)))
        used = [(name, function.__globals__[name]) for name in names if name in function.__globals__]
        inner = [
            (f"{name}.{part}", getattr(module, part))
            for name, module in used
            if isinstance(module, ModuleType) and self._inside(module.__name__)
            for part in names
            if hasattr(module, part)
        ]
        cells = [_content(cell) for cell in function.__closure__ or ()]
        return [
            _name(function),
            self._code(function.__code__, function.__doc__),
            self([function.__defaults__, function.__kwdefaults__, cells]),
            [[name, self(value)] for name, value in (*used, *inner)],
        ]

    def _code(self, code: CodeType, doc: str | None = None) -> Any:
        constants = [
            self._code(value) if isinstance(value, CodeType) else self(None if value == doc else value)
            for value in code.co_consts
        ]
        return [code.co_code.hex(), list(code.co_names), list(code.co_varnames), constants]

    def _class(self, kind: type) -> Any:
        if not self._inside(kind.__module__):
            return _name(kind)
        parts = sorted((name, value) for name, value in vars(kind).items() if _is_code(name, value))
        return [_name(kind), [self(base) for base in kind.__bases__], [[name, self(value)] for name, value in parts]]

    def _instance(self, value: object) -> Any:
        if hasattr(value, "__wrapped__"):  # a function behind a cache
            return ["wrapped", self(value.__wrapped__)]
        settings = getattr(value, "__dict__", {})
        if not self._inside(type(value).__module__):  # of others, what can be set by hand and nothing deeper
            settings = {name: inner for name, inner in settings.items() if isinstance(inner, PLAIN)}
        return [self(type(value)), self(settings)]


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _is_code(name: str, value: object) -> bool:
    ours = not name.startswith("__") or isinstance(value, _METHODS)
    return ours and name not in _NOT_CODE


def _name(value: object) -> str:
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{getattr(named, '__module__', '')}.{getattr(named, '__qualname__', '')}"


def _array(value: Any) -> Any:
    content = hashlib.blake2b(value.tobytes(), digest_size=16).hexdigest()
    return ["array", str(value.dtype), str(getattr(value, "shape", "")), content]


def _content(cell: Any) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # a name that is not bound yet
        return None
