"""The command lines of the documents, and which of them are tried, as a page says."""

import dataclasses
import re
import shlex

from tests.helpers.small_runs import ROOT

DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]

# What a line of a code block begins with if it is a command.
_PROGRAMS = re.compile(
    r"(\.venv/bin/)?(python3?|tf-mdsm|mkdocs|tensorboard|pip|jupyter|ruff|pyright|pytest) "
    r"|launch/|\./|bash |sh |source |sbatch |kubectl |docker |git |curl |export |apt-get "
)


@dataclasses.dataclass(frozen=True)
class DocumentedCommand:
    """A command line of a page, without its comment.

    Attributes:
        page: the page's path from the project's root.
        text: the command.
    """

    page: str
    text: str

    @property
    def arguments(self) -> list[str]:
        return shlex.split(self.text)


def documented_commands() -> list[DocumentedCommand]:
    """All commands of all pages, in the order of the pages."""
    found = []
    for path in sorted(DOCUMENTS):
        page = path.relative_to(ROOT).as_posix()
        for line in _code_lines(path.read_text()):
            if _PROGRAMS.match(line):
                text = re.split(r"\s{2,}#|\s# ", line)[0].strip().removeprefix(".venv/bin/")
                found.append(DocumentedCommand(page, text))
    return found


def _code_lines(text: str) -> list[str]:
    """The lines of indented blocks, and of fenced ones that are of no programming language."""
    lines, language = [], None
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line.startswith("```"):
            language = line[3:].strip() if language is None else None
        elif language in ("", "bash", "sh", "console") or (
            language is None and line.startswith("    ")
        ):
            lines.append(line.strip().removeprefix("$ "))
    return lines


def tried_commands() -> dict[str, str]:
    """What says by which test a command is tried, or why by none, by how the command begins."""
    text = (ROOT / "docs/reference/command_line.md").read_text()
    table = text[text.index("## Which commands of these pages are tried") :]
    return dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", table, re.MULTILINE))


def is_tried_as(command: DocumentedCommand, beginning: str) -> bool:
    """Whether a command begins with these words."""
    return f"{command.text} ".startswith(f"{beginning} ")
