"""Writes the generated pages of docs/reference from the code. From the project's root:

    python -m docs.generate

`settings.md` follows from the comments and defaults of tf_mdsm/config/defaults.py and the ranges of
tf_mdsm/config/ranges.py, `python.md` from the public names, signatures and docstrings of the
package. `tests/test_documents.py` requires that both are current.
"""

import ast
import functools
import json
import pathlib
import re
import textwrap

from tf_mdsm.config.defaults import default_config
from tf_mdsm.config.ranges import CHOICES, INTERVALS, OTHER_CHECKS
from tf_mdsm.config.rules import CHANGEABLE, flatten

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tf_mdsm"

# Packages whose public names are documented after the fifteen names of `tf_mdsm` itself.
_PACKAGES = (
    *("networks", "samplers", "restoration", "training", "datasets", "evaluation"),
    *("visualization", "serving", "runs", "system"),
)


def pages() -> dict[str, str]:
    """The text of each generated page, by its path from the project's root."""
    return {
        "docs/reference/settings.md": settings_page(),
        "docs/reference/python.md": python_page(),
    }


# Settings


def settings_page() -> str:
    """The reference of all settings, one section a group."""
    source = (PACKAGE / "config/defaults.py").read_text()
    functions = {n.name: n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef)}
    values, lines = flatten(default_config()), source.splitlines()
    parts = [
        "# Settings",
        "For everyone. This page is generated from [defaults.py](../../tf_mdsm/config/defaults.py) "
        "and [ranges.py](../../tf_mdsm/config/ranges.py) by `python -m docs.generate`.\n"
        "A setting is given as `--config.GROUP.FIELD=VALUE`. "
        "Noise levels are in pixel units, where pixels lie in [0, 1].\n"
        '"Fixed" means that a run that was begun keeps the value; '
        "another value needs another `--workdir`.\n"
        "With `optimizer.schedule=constant`, `training.num_steps` may change too.",
    ]

    def add_group(function: ast.FunctionDef, prefix: str) -> None:
        title = f"`{prefix.rstrip('.')}`" if prefix else "The run"
        docstring = ast.get_docstring(function) or ""
        parts.append(f"## {title}")
        if prefix:
            parts.append(_wrap(_escape(docstring)))
        groups = []
        for statement in function.body:
            if not isinstance(statement, ast.Assign):
                continue
            (target,) = statement.targets
            if not isinstance(target, ast.Attribute):
                continue
            name = prefix + target.attr
            if name in values:
                parts.append(_setting(name, values[name], _comment_above(lines, statement.lineno)))
            elif isinstance(statement.value, ast.Call):
                called = statement.value.func
                assert isinstance(called, ast.Name)
                groups.append((functions[called.id], f"{name}."))
        for group in groups:
            add_group(*group)

    add_group(functions["default_config"], "")
    return "\n\n".join(parts) + "\n"


def _comment_above(lines: list[str], number: int) -> str:
    """The comment that ends above a line, which is counted from 1, as one paragraph."""
    found = []
    for line in reversed(lines[: number - 1]):
        if not line.strip().startswith("# "):
            break
        found.append(line.strip().removeprefix("# "))
    return " ".join(reversed(found))


def _setting(name: str, value: object, comment: str) -> str:
    """The section of one setting: default, allowed values, whether it is fixed, meaning."""
    facts = [f"Default `{json.dumps(value)}`"]
    if name in CHOICES:
        facts.append("one of " + ", ".join(f"`{choice}`" for choice in CHOICES[name] if choice))
    if name in INTERVALS:
        facts.append("must " + INTERVALS[name].requirement)
    if name in OTHER_CHECKS:
        facts.append("must " + OTHER_CHECKS[name][0])
    if not name.startswith(CHANGEABLE):
        facts.append("fixed")
    meaning = re.sub(r"docs/(\S+?/)?(\w+\.md)", r"[\2](../\1\2)", _escape(comment))
    return f"### `{name}`\n\n{_wrap(meaning)}\n\n{_wrap('; '.join(facts))}."


def _wrap(text: str) -> str:
    return textwrap.fill(text, 115, break_long_words=False, break_on_hyphens=False)


def _escape(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"[<*]", r"\\\g<0>", text)


# Python


def python_page() -> str:
    """The reference of the public names: signature and docstring of each."""
    parts = [
        "# Python reference",
        "For people who write Python. This page is generated from the code by "
        "`python -m docs.generate`. A guide with examples: [Python](../guide/python.md).",
        "## `tf_mdsm`",
        *_package_names(PACKAGE / "__init__.py"),
    ]
    for package in _PACKAGES:
        path = PACKAGE / package / "__init__.py"
        first_line = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()[0]
        known = set(_homes(PACKAGE / "__init__.py"))
        parts += [f"## `tf_mdsm.{package}`", _escape(first_line), *_package_names(path, known)]
    return "\n\n".join(parts) + "\n"


def _homes(path: pathlib.Path) -> dict[str, pathlib.Path]:
    """The public names of a package, and the file that defines each."""
    homes = {}
    # What a function imports for itself is no public name.
    statements = [n for n in ast.parse(path.read_text()).body if not isinstance(n, ast.FunctionDef)]
    for node in (node for statement in statements for node in ast.walk(statement)):
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Call) and called == "import_when_used":
            for module, names in ast.literal_eval(node.args[1]).items():
                place = path.parent / module.replace(".", "/")
                homes.update({name: _home(place, name) for name in names})
        elif isinstance(node, ast.ImportFrom) and "import_when_used" not in ast.unparse(node):
            place = ROOT / (node.module or "").replace(".", "/")
            if place.is_relative_to(PACKAGE):
                homes.update({alias.name: _home(place, alias.name) for alias in node.names})
    return homes


def _home(place: pathlib.Path, name: str) -> pathlib.Path:
    """The file that defines a name of a module or of a package, without its ending."""
    return _homes(place / "__init__.py")[name] if place.is_dir() else place.with_suffix(".py")


def _package_names(path: pathlib.Path, without: set[str] = frozenset()) -> list[str]:
    """The sections of a package's public names, apart from some."""
    homes = _homes(path)
    return [_name_section(name, homes[name]) for name in sorted(homes) if name not in without]


def _name_section(name: str, file: pathlib.Path) -> str:
    """Heading, place, signature and docstring of a class, a function or a constant."""
    place = file.relative_to(ROOT).as_posix()
    parts = [f"### `{name}`", f"[{place}](../../{place})"]
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            parts.append(_text_block(_class_text(node)))
        elif isinstance(node, ast.FunctionDef) and node.name == name:
            parts.append(_text_block(_function_text(node)))
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if ast.unparse(target) == name and node.value is not None:
                parts.append(_text_block(f"{name} = {ast.unparse(node.value)}"))
    assert len(parts) == 3, f"{name} is not defined in {place}"
    return "\n\n".join(parts)


def _text_block(text: str) -> str:
    return f"```text\n{text}\n```"


def _function_text(node: ast.FunctionDef, name: str = "", indent: str = "") -> str:
    """Signature and docstring, the latter indented below."""
    return _entry(_signature(node, name or node.name, indent), ast.get_docstring(node), indent)


def _signature(node: ast.FunctionDef, name: str, indent: str = "") -> str:
    """Name, arguments and type of the result."""
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    arguments = [part for part in _arguments(node.args) if part not in ("self", "cls")]
    return _call(name, arguments, returns, indent)


def _arguments(node: ast.arguments) -> list[str]:
    """The arguments of a function, each with its type and its default."""
    positional = [*node.posonlyargs, *node.args]
    no_defaults = [None] * (len(positional) - len(node.defaults))
    parts = [
        _argument(argument, default)
        for argument, default in zip(positional, [*no_defaults, *node.defaults], strict=True)
    ]
    if node.vararg is not None:
        parts.append("*" + _argument(node.vararg, None))
    elif node.kwonlyargs:
        parts.append("*")
    keywords = zip(node.kwonlyargs, node.kw_defaults, strict=True)
    parts += [_argument(argument, default) for argument, default in keywords]
    if node.kwarg is not None:
        parts.append("**" + _argument(node.kwarg, None))
    return parts


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    return ast.unparse(argument) + (f" = {ast.unparse(default)}" if default else "")


def _call(name: str, arguments: list[str], returns: str = "", indent: str = "") -> str:
    """`name(a, b) -> c`, with an argument a line where it is too long for one line."""
    line = f"{name}({', '.join(arguments)}){returns}"
    if len(indent + line) <= 100:
        return line
    inner = "".join(f"{indent}    {argument},\n" for argument in arguments)
    return f"{name}(\n{inner}{indent}){returns}"


def _entry(head: str, docstring: str | None, indent: str = "") -> str:
    lines = (docstring or "").splitlines()
    below = [f"{indent}    {line}".rstrip() for line in lines]
    return "\n".join([indent + head, *below])


def _class_text(node: ast.ClassDef) -> str:
    """Constructor, docstring, then the public methods and properties.

    Those of base classes are among them if the page has no section on the base class.
    """
    methods = [n for n in node.body if isinstance(n, ast.FunctionDef)]
    constructor = next((n for n in methods if n.name == "__init__"), None)
    if constructor is not None:
        head = _signature(constructor, node.name).removesuffix(" -> None")
    else:
        fields = sorted(_fields(node), key=lambda field: field[1])
        keywords = [field for field, by_keyword in fields if by_keyword]
        positional = [field for field, by_keyword in fields if not by_keyword]
        head = _call(node.name, [*positional, *(["*"] if keywords else []), *keywords])
    entries = [_entry(head, ast.get_docstring(node))]
    for method in methods + _inherited_methods(node):
        if method.name.startswith("_") or not ast.get_docstring(method):
            continue
        if any("property" in ast.unparse(decorator) for decorator in method.decorator_list):
            returns = f": {ast.unparse(method.returns)}" if method.returns else ""
            entries.append(_entry(f".{method.name}{returns}", ast.get_docstring(method), "    "))
        else:
            entries.append(_function_text(method, f".{method.name}", "    "))
    return "\n\n".join(entries)


def _inherited_methods(node: ast.ClassDef) -> list[ast.FunctionDef]:
    """The methods of base classes that have no section, less those that are overridden."""
    names = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
    inherited = []
    for base in map(ast.unparse, node.bases):
        if base in _public_names() or (found := _classes().get(base)) is None:
            continue
        methods = [n for n in found.body if isinstance(n, ast.FunctionDef)]
        new = [n for n in methods + _inherited_methods(found) if n.name not in names]
        inherited += new
        names |= {n.name for n in new}
    return inherited


@functools.cache
def _public_names() -> set[str]:
    """The names that have a section."""
    inits = [PACKAGE / "__init__.py", *(PACKAGE / name / "__init__.py" for name in _PACKAGES)]
    return {name for path in inits for name in _homes(path)}


def _fields(node: ast.ClassDef) -> list[tuple[str, bool]]:
    """The fields of a dataclass as arguments, those of its base classes first.

    A field that a class defines again keeps its place. Annotations of a class that is no dataclass
    are no fields. Each field comes with whether it is given by keyword only.
    """
    return list(_named_fields(node).values())


def _named_fields(node: ast.ClassDef) -> dict[str, tuple[str, bool]]:
    """The fields by their names, as in `_fields`."""
    fields = {}
    for base in node.bases:
        if (found := _classes().get(ast.unparse(base))) is not None:
            fields |= _named_fields(found)
    if not any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return fields
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and "ClassVar" not in ast.unparse(statement):
            fields[ast.unparse(statement.target)] = _field(statement)
    return fields


def _field(statement: ast.AnnAssign) -> tuple[str, bool]:
    """A field as an argument, and whether it is given by keyword only."""
    name = f"{ast.unparse(statement.target)}: {ast.unparse(statement.annotation)}"
    value = statement.value
    if not isinstance(value, ast.Call) or ast.unparse(value.func) != "dataclasses.field":
        return name + (f" = {ast.unparse(value)}" if value else ""), False
    options = {keyword.arg: ast.unparse(keyword.value) for keyword in value.keywords}
    if "default_factory" in options:
        options["default"] = f"{options['default_factory']}()"
    default = f" = {options['default']}" if "default" in options else ""
    return name + default, options.get("kw_only") == "True"


@functools.cache
def _classes() -> dict[str, ast.ClassDef]:
    """All classes of the package, by their names."""
    trees = (ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py")))
    return {n.name: n for tree in trees for n in tree.body if isinstance(n, ast.ClassDef)}


if __name__ == "__main__":
    for page, text in pages().items():
        (ROOT / page).write_text(text)
        print(page)
