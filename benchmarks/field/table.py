"""docs/field.md: what came of every module, and the share that is right at first try."""

from collections.abc import Sequence

from benchmarks.field.result import Result

_HEAD = """\
# The field: modules of public libraries

Modules that others wrote, exported as a user would: `export_model(module, example, name=...,
repository=...)`, and not one option. `make field` installs each group of libraries beside the
pinned torch in an environment of its own, and writes this page anew.

A module counts as right if its programs answer as the untouched module does, with a largest error
of 1e-4 of the largest value, on fresh inputs: whole sequences of other lengths and batches, and for
streams one time step a run and in uneven chunks with the states handed on. The check reads the
manifest and runs the programs by itself. A refusal counts as right only if the module cannot be
served truthfully at all. Modules are small and have random weights.

- step: a stream. last: a stream with outputs that belong to the last step. whole: whole sequences.
- refused: no program, with the reason. wrong: a program that does not answer as the module does.
  traceback: an error that no user should see.
- not installed: the library does not go with the pinned packages. not built: it does, but its
  module could not be made.
- right: "less" is what is served with the right numbers, though the module allows more: a stream,
  or other sizes than those of the example.
"""

_COLUMNS = """\
| library | module | outcome | right | found | largest error | seconds |
| --- | --- | --- | --- | --- | ---: | ---: |
"""

_MAX_FOUND = 200


def render(results: Sequence[Result]) -> str:
    """The whole page."""
    rows = "\n".join(map(_row, results))
    missed = [each for each in results if each.is_tried and not each.is_full]
    told = "\n".join(f"- {_name(each)}: {_escaped(each.found)}" for each in missed)
    parts = [_HEAD, _COLUMNS + rows]
    if missed:
        parts.append("## What is not right, or less than the module allows\n\n" + told)
    return "\n\n".join([*(part.rstrip() for part in parts), _shares(results)]) + "\n"


def _shares(results: Sequence[Result]) -> str:
    tried = [each for each in results if each.is_tried]
    if not tried:
        return "No module was tried."
    right, full = (
        sum(chosen) for chosen in ([r.is_right for r in tried], [r.is_full for r in tried])
    )
    return (
        f"Right at first try: {right} of {len(tried)} modules, {right / len(tried):.0%}. "
        f"Right, and a stream wherever the module is one: {full}, {full / len(tried):.0%}."
    )


def _row(result: Result) -> str:
    right = "" if not result.is_tried else "yes" if result.is_full else "less"
    if result.is_tried and not result.is_right:
        right = "**no**"
    found = result.found
    if result.outcome == "refused" and result.is_right:
        found = f"{result.why} ({found})"
    cells = [
        f"{result.library} {result.version}".strip(),
        result.module,
        result.outcome,
        right,
        found if len(found) <= _MAX_FOUND else found[: _MAX_FOUND - 3] + "...",
        "" if result.error is None else f"{result.error:.0e}",
        f"{result.seconds:.0f}" if result.is_tried else "",
    ]
    return "| " + " | ".join(map(_escaped, cells)) + " |"


def _name(result: Result) -> str:
    return f"{result.library}, {result.module} ({result.outcome}; could be {result.serves})"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
