"""Runs a benchmark by its name: `python -m benchmarks NAME [--flags]`.

Without a name it lists all benchmarks. `python -m benchmarks NAME --help` explains one.
"""

import ast
import importlib
import pathlib
import sys

from tf_mdsm.system.stdout import print_lines

__all__ = ["FOLDERS", "description", "index", "main"]

# Each folder's subject and its benchmarks; the module of NAME is benchmarks.FOLDER.NAME.
FOLDERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "cost": (
        "What steps, runs and requests cost, on CPUs",
        ("steps", "scaling", "overheads", "trace", "serving", "portable"),
    ),
    "quality": (
        "How good trained energies and their samples are",
        (
            *("ablation", "memorization", "noise_levels"),
            *("photograph_tasks", "photographs", "sampler_quality"),
        ),
    ),
    "accelerator": (
        "What runs cost on an accelerator, and what they train there",
        ("prepare", "run", "collect"),
    ),
}


def description(folder: str, name: str) -> str:
    """What a benchmark measures, how long it takes and what it writes, in one line.

    This is read from the module's docstring: its first line, and the paragraphs that begin with
    `Duration:` and `Writes:`. The module is not imported, because that may load TensorFlow.
    """
    path = pathlib.Path(__file__).parent / folder / f"{name}.py"
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    paragraphs = [" ".join(paragraph.split()) for paragraph in docstring.split("\n\n")]
    facts = [p for p in paragraphs if p.startswith(("Duration:", "Writes:"))]
    return " ".join([paragraphs[0], *facts])


def index() -> str:
    """All benchmarks, one line each, by folders."""
    lines = ["usage: python -m benchmarks NAME [--flags]    (NAME --help explains the flags)"]
    for folder, (subject, names) in FOLDERS.items():
        lines += ["", f"{subject} (benchmarks/{folder}):"]
        lines += [f"  {name:16} {description(folder, name)}" for name in names]
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Runs the benchmark that `argv` names, or prints the index; returns the exit status."""
    if not argv or argv[0] in ("-h", "--help"):
        print_lines([index()])
        return 0
    name, *flags = argv
    for folder, (_, names) in FOLDERS.items():
        if name in names:
            return importlib.import_module(f"benchmarks.{folder}.{name}").main(flags)
    known = ", ".join(name for _, names in FOLDERS.values() for name in names)
    print(f"benchmarks: `NAME` must be one of {known}. Received: {name}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
