"""Turns JSON objects into frozen dataclasses, refusing what does not fit with a clear sentence."""

from __future__ import annotations

import dataclasses
import types
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from simulator.errors import InvalidRequestError

T = TypeVar("T")

NAMES: dict[Any, str] = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
}


def decode(cls: type[T], data: object) -> T:
    """Build ``cls`` from a JSON object.

    Raises InvalidRequestError with code ``not_an_object``, ``unknown_field``, ``missing_field`` or
    ``invalid_field``.
    """
    if not isinstance(data, dict):
        raise InvalidRequestError("not_an_object", "Send a JSON object.")
    hints = get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cast("Any", cls))}
    unknown = sorted(set(data) - set(fields))
    if unknown:
        known = ", ".join(fields) or "none"
        raise InvalidRequestError(
            "unknown_field", f"Unknown field {unknown[0]!r}; known are: {known}."
        )
    values: dict[str, object] = {}
    for name, field in fields.items():
        if name in data:
            values[name] = _value(name, hints[name], data[name])
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise InvalidRequestError("missing_field", f"The field {name!r} is missing.")
    return cls(**values)


def _value(name: str, hint: Any, value: object) -> object:
    origin, args = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        if value is None:
            return None
        (hint,) = [a for a in args if a is not type(None)]
        return _value(name, hint, value)
    if origin is Literal:
        if value not in args:
            raise _invalid(name, "one of " + ", ".join(map(str, args)))
        return value
    if origin is list:
        if not isinstance(value, list):
            raise _invalid(name, "a list")
        return [_value(name, args[0], item) for item in value]
    return _plain(name, origin or hint, value)


def _plain(name: str, wanted: Any, value: object) -> object:
    if wanted is Any:
        return value
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise _invalid(name, NAMES[wanted])
    return value


def _invalid(name: str, wanted: str) -> InvalidRequestError:
    return InvalidRequestError("invalid_field", f"The field {name!r} must be {wanted}.")
