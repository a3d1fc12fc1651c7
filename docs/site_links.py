"""MkDocs hook: what pages link to outside of docs/ is named in the site instead of linked.

On GitHub such links lead to the code. A site of docs/ alone does not hold it.
"""

import pathlib
import re
from typing import Any

_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Returns the page with `[text](../../README.md)` as `text (README.md)`."""
    place = pathlib.PurePosixPath(page.file.src_uri).parent

    def mend(link: re.Match) -> str:
        text, target = link.groups()
        outside = _path_outside(place, target)
        if outside is None:
            return link.group()
        return f"`{text}`" if outside.endswith(text) else f"{text} (`{outside}`)"

    return _LINK.sub(mend, markdown)


def _path_outside(place: pathlib.PurePosixPath, target: str) -> str | None:
    """The path of a target outside of docs/, from the project's root; None for others."""
    if ":" in target or not target.startswith("../"):
        return None
    path = ["docs", *place.parts]
    for part in target.split("#")[0].split("/"):
        if part == "..":
            path.pop()
        elif part not in ("", "."):
            path.append(part)
    return None if path[:1] == ["docs"] else "/".join(path)
