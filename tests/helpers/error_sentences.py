"""The sentences of all errors of the package, read from its source.

An error's text is followed through local variables, constants of the module, functions that return
a text, and parameters: `_refuse(config, field, requirement)` has one sentence for each of its
calls.
"""

import ast
import dataclasses
import functools
import itertools
import re
from collections.abc import Iterator, Mapping

from tests.helpers.small_runs import ROOT

# What stands for a part of a sentence that is known only when the error is raised.
ANY = "…"
_ERRORS = ("InvalidArgument", "RunError", "ServingError")
# Ends of sentences that pass another error on, which is found where it is raised first, or name a
# type.
_PASSED_ON = (f"must {ANY}", f"must be {ANY}", f"step {ANY}: {ANY}", f"the start: {ANY}")
# Callers of callers of callers of the function that raises an error are looked at.
_DEPTH = 3


@dataclasses.dataclass(frozen=True)
class ErrorSentence:
    """A sentence that an error may have, with `…` for what is not in the source.

    Attributes:
        place: file and line of the error.
        text: "`config.data.path` must hold images only (…)".
    """

    place: str
    text: str


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where an expression stands: the module and functions around it, and who called the last.

    Attributes:
        scopes: the module, then the functions, the inmost last.
        bound: an argument of the caller for each parameter, with its own place.
        depth: how many calls of functions that return a text are followed from here.
    """

    scopes: tuple[ast.Module | ast.FunctionDef, ...]
    bound: Mapping[str, tuple[ast.expr, "_Place"]] = dataclasses.field(default_factory=dict)
    depth: int = _DEPTH


def error_sentences() -> list[ErrorSentence]:
    """All of them, apart from errors that only pass another one on."""
    found = {}
    for path in sorted((ROOT / "tf_mdsm").rglob("*.py")):
        for scopes, call in _calls(path.read_text()):
            name = ast.unparse(call.func)
            is_of_class = "RunError" in _class_bases(path.read_text())
            is_own_kind = name == "super().__init__" and is_of_class
            if name not in _ERRORS and not is_own_kind:
                continue
            for text in _sentences(name, call, scopes):
                place = f"{path.relative_to(ROOT)}:{call.lineno}"
                text = re.sub(f"{ANY}+", ANY, text)
                if not text.endswith(_PASSED_ON):
                    found.setdefault(text, ErrorSentence(place, text))
    return list(found.values())


def _sentences(name: str, call: ast.Call, scopes: tuple) -> Iterator[str]:
    for bound in _callers(scopes, _DEPTH):
        texts = [_texts(argument, _Place(scopes, bound)) for argument in call.args[:2]]
        if name == "InvalidArgument":
            yield from (f"`{field}` must {what}" for field, what in itertools.product(*texts))
        else:
            yield from texts[0]


def _callers(scopes: tuple, depth: int) -> Iterator[dict[str, tuple[ast.expr, _Place]]]:
    """For each call of the inmost function, what its parameters are bound to."""
    function = scopes[-1]
    is_followed = len(scopes) > 1 and depth and function.name != "__init__"
    calls = _calls_by_name().get(function.name, ()) if is_followed else ()
    for caller_scopes, call in calls:
        names = [argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)]
        names = names[1:] if names[:1] in (["self"], ["cls"]) else names
        given = dict(zip(names, call.args, strict=False))
        given |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg in names}
        for bound in _callers(caller_scopes, depth - 1):
            place = _Place(caller_scopes, bound)
            yield {name: (value, place) for name, value in given.items()}
    if not calls:
        yield {}


def _texts(node: ast.expr, place: _Place) -> set[str]:
    """The texts that an expression may have."""
    match node:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.JoinedStr(values=parts):
            return _joined([_texts(part, place) for part in parts])
        case ast.FormattedValue(value=value, format_spec=None):
            return _texts(value, place)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _joined([_texts(left, place), _texts(right, place)])
        case ast.IfExp(body=body, orelse=orelse):
            return _texts(body, place) | _texts(orelse, place)
        case ast.Call(func=ast.Name(id=name)):
            return _returned(name, place) or {ANY}
        case ast.Name(id=name):
            return _named(name, place) or {ANY}
    return {ANY}


def _joined(parts: list[set[str]]) -> set[str]:
    return {"".join(choice) for choice in itertools.product(*parts)}


def _named(name: str, place: _Place) -> set[str]:
    """The texts of a variable, from the inmost function that assigns it, or of a parameter."""
    for depth in range(len(place.scopes), 0, -1):
        found, inner = set(), dataclasses.replace(place, scopes=place.scopes[:depth])
        for target, value, adds in _assignments(place.scopes[depth - 1]):
            if target == name:
                found |= {ANY * adds + text for text in _texts(value, inner)}
        if found:
            return found
        if depth == len(place.scopes) and name in place.bound:
            return _texts(*place.bound[name])
    return set()


@functools.cache
def _assignments(scope: ast.AST) -> list[tuple[str, ast.expr, bool]]:
    """Names, what is assigned to them, and whether it is added to what they hold."""
    found = []
    for node in scope.body if isinstance(scope, ast.Module) else ast.walk(scope):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            adds = isinstance(node, ast.AugAssign)
            found += [(t.id, node.value, adds) for t in targets if isinstance(t, ast.Name)]
    return found


def _returned(name: str, place: _Place) -> set[str]:
    """The texts that a function of the module returns."""
    for function in place.scopes[0].body if place.depth else ():
        if isinstance(function, ast.FunctionDef) and function.name == name:
            returns = (n.value for n in ast.walk(function) if isinstance(n, ast.Return) and n.value)
            inner = _Place((place.scopes[0], function), depth=place.depth - 1)
            return {text for value in returns for text in _texts(value, inner)}
    return set()


@functools.cache
def _calls(source: str) -> list[tuple[tuple, ast.Call]]:
    """All calls in a module, each with the module and the functions around it."""
    found = []

    def visit(node: ast.AST, scopes: tuple) -> None:
        if isinstance(node, ast.Module | ast.FunctionDef):
            scopes = (*scopes, node)
        if isinstance(node, ast.Call):
            found.append((scopes, node))
        for child in ast.iter_child_nodes(node):
            visit(child, scopes)

    visit(ast.parse(source), ())
    return found


@functools.cache
def _calls_by_name() -> dict[str, list[tuple[tuple, ast.Call]]]:
    """The calls of each function in the whole package, by the function's name alone."""
    found: dict[str, list] = {}
    for path in sorted((ROOT / "tf_mdsm").rglob("*.py")):
        for scopes, call in _calls(path.read_text()):
            found.setdefault(ast.unparse(call.func).split(".")[-1], []).append((scopes, call))
    return found


@functools.cache
def _class_bases(source: str) -> set[str]:
    """The names of all base classes in a module."""
    classes = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    return {ast.unparse(base) for node in classes for base in node.bases}
