"""Errors a user can cause, and what each says.

    PicojouleError
    ├── InputError              a value, a name or a file from outside is wrong  (exit code 1)
    │   ├── FileFormatError     a file is not what it claims to be, or is damaged
    │   ├── GraphError          a network's structure or shapes are wrong
    │   ├── RecipeError         a compression recipe is wrong
    │   └── TargetError         a hardware description is wrong
    ├── OutputError             a result could not be written                    (exit code 1)
    ├── MissingExtraError       an optional dependency is not installed          (exit code 1)
    └── BudgetExceededError     a budget of `check` or `best` cannot be kept      (exit code 3)

Every message is one line in one order: where, got, wanted, what to do next.
"""

from __future__ import annotations

__all__ = [
    "BudgetExceededError",
    "FileFormatError",
    "GraphError",
    "InputError",
    "MissingExtraError",
    "OutputError",
    "PicojouleError",
    "RecipeError",
    "TargetError",
]


def _one_line(text: object, limit: int = 200) -> str:
    line = "".join(c if c.isprintable() else "?" for c in " ".join(str(text).split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"


class PicojouleError(Exception):
    """Base of every error that picojoule raises on purpose."""

    exit_code = 1


class InputError(PicojouleError):
    """Something from outside is wrong: `where`: got `got`, wanted `wanted`; `next_step`.

    >>> str(InputError("--batch", 0, "a positive integer", "try --batch 1"))
    '--batch: got 0, wanted a positive integer; try --batch 1'
    """

    def __init__(self, where: str, got: object, wanted: str, next_step: str = "") -> None:
        self._parts = (where, got, wanted, next_step)
        message = f"{_one_line(where)}: got {_one_line(got)}, wanted {_one_line(wanted, 400)}"
        super().__init__(message + (f"; {_one_line(next_step, 400)}" if next_step else ""))

    def within(self, where: str) -> InputError:
        """The same error with the larger thing it happened in named first; itself where that has no name.

        >>> str(InputError("nm2:4", 3, "2").within("parameter fc.weight"))
        'parameter fc.weight: nm2:4: got 3, wanted 2'
        """
        if not where:
            return self
        first, got, wanted, next_step = self._parts
        return type(self)(f"{where}: {first}", got, wanted, next_step)


class FileFormatError(InputError):
    """A file is not what it claims to be, is truncated, or is damaged."""


class GraphError(InputError):
    """A network's structure or shapes are wrong."""


class RecipeError(InputError):
    """A compression recipe is wrong."""


class TargetError(InputError):
    """A hardware description is wrong."""


class OutputError(PicojouleError):
    """A result could not be written: disk full, no permission, no such folder."""

    def __init__(self, where: str, reason: object, next_step: str) -> None:
        super().__init__(f"{_one_line(where)}: could not write: {_one_line(reason)}; {_one_line(next_step)}")


class MissingExtraError(PicojouleError):
    """An optional dependency is needed and not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{_one_line(what)} needs the extra [{extra}]; run: pip install 'picojoule[{extra}]'")


class BudgetExceededError(PicojouleError):
    """A budget is exceeded."""

    exit_code = 3
