"""Markdown to HTML, as much of it as the pages of this pack use."""

from __future__ import annotations

import html
import re
from itertools import takewhile

__all__ = ["markdown_to_html"]

_ITEM = re.compile(r"([-*]|\d+\.) ")
_BLOCK = re.compile(r"#{1,6} |```|\||[-*] |\d+\. |<!--")
"""How a line begins that does not go on with the paragraph above it."""
_CODE = re.compile(r"(``.+?``|`[^`]+`)")
_INLINE = (
    (re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)"), r'<img src="\2" alt="\1">'),
    (re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)"), r'<a href="\2">\1</a>'),
    (re.compile(r"\*\*(.+?)\*\*"), r"<b>\1</b>"),
    (re.compile(r"(?<![\w*])\*([^*\s][^*]*)\*(?![\w*])"), r"<i>\1</i>"),
)


def markdown_to_html(text: str) -> str:
    """Return the HTML of headings, paragraphs, lists, tables, code, pictures and links; tags in the text are shown."""
    lines, parts = text.splitlines(), []
    while lines:
        block = _block(lines)
        del lines[: len(block)]
        first = block[0]
        if first.startswith("```"):
            del lines[:1]  # the fence that ends it
            parts.append(f"<pre>{html.escape(chr(10).join(block[1:]))}</pre>")
        elif heading := re.match(r"(#{1,6}) (.*)", first):
            level = len(heading[1])
            parts.append(f'<h{level} id="{_anchor(heading[2])}">{_inline(heading[2])}</h{level}>')
        elif first.startswith("|"):
            parts.append(_table(block))
        elif _ITEM.match(first):
            tag = "ul" if first[0] in "-*" else "ol"
            parts.append(f"<{tag}>{''.join(f'<li>{_inline(item)}</li>' for item in _items(block))}</{tag}>")
        elif first.strip() and not first.startswith("<!--"):
            parts.append(f"<p>{_inline(' '.join(block))}</p>")
    return "\n".join(parts)


def _block(lines: list[str]) -> list[str]:
    """Return the lines that belong together with the first one."""
    first, rest = lines[0], lines[1:]
    if first.startswith("```"):
        more = takewhile(lambda line: not line.startswith("```"), rest)
    elif first.startswith("|"):
        more = takewhile(lambda line: line.startswith("|"), rest)
    elif _ITEM.match(first):
        more = takewhile(lambda line: _ITEM.match(line) or re.match(r"\s+\S", line), rest)
    elif not first.strip() or re.match(r"#{1,6} |<!--", first):
        more = iter(())
    else:
        more = takewhile(lambda line: line.strip() and not _BLOCK.match(line), rest)
    return [first, *more]


def _items(lines: list[str]) -> list[str]:
    """Return the items of a list, each on one line."""
    items: list[str] = []
    for line in lines:
        if mark := _ITEM.match(line):
            items.append(line[mark.end() :])
        else:
            items[-1] += f" {line.strip()}"
    return items


def _table(lines: list[str]) -> str:
    rows = [re.split(r"(?<!\\)\|", line.strip()[1:].removesuffix("|")) for line in lines]
    tagged = [("th", rows[0]), *(("td", row) for row in rows[2:])]
    cells = ["".join(f"<{tag}>{_inline(cell.strip())}</{tag}>" for cell in row) for tag, row in tagged]
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"


def _inline(text: str) -> str:
    return "".join(_span(part) for part in _CODE.split(text))


def _span(part: str) -> str:
    if _CODE.fullmatch(part):
        return f"<code>{html.escape(part.strip('`').strip())}</code>"
    part = html.escape(part)
    for pattern, replacement in _INLINE:
        part = pattern.sub(replacement, part)
    return part


def _anchor(heading: str) -> str:
    """Return what a link to a heading ends with, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
