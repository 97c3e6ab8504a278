"""The report's HTML: one page that needs nothing beside it and no network."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import NamedTuple

from train.drawing import Picture

CSS = """
:root { color-scheme: light }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; background: #fff; color: #111; line-height: 1.5;
  font-family: system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.5rem; line-height: 1.25 } h2 { border-top: 2px solid #111; padding-top: .6rem; margin-top: 2.2rem }
.headline { font-size: 1.2rem; border-left: .35rem solid #111; padding-left: .8rem }
.note { background: #f2f2f2; padding: .5rem .8rem; border-left: .35rem solid #777 }
.scroll { overflow-x: auto; margin: 1rem 0 } table { border-collapse: collapse; font-size: .9rem }
caption { text-align: left; font-weight: 600; padding-bottom: .3rem }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #ccc; text-align: right; font-variant-numeric: tabular-nums;
  overflow-wrap: normal } .figures td { white-space: nowrap }
thead th { vertical-align: bottom; border-bottom: 2px solid #111 }
tbody th, th:first-child, .settings td { text-align: left } .settings td { overflow-wrap: anywhere }
tbody th { font-weight: 400; position: sticky; left: 0; background: #fff } .learned > * { font-weight: 700 }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1.2rem }
figure { margin: 0; min-width: 0 } figure .scroll { margin: 0 } .wide { grid-column: 1 / -1 }
figcaption { font-size: .9rem } img { display: block; width: 100%; height: auto; min-width: 22rem }
.wide img { min-width: 30rem; max-width: 50rem }
nav ol { columns: 18rem; column-gap: 2.5rem; padding-left: 1.5rem } nav a { color: inherit }
dl { display: grid; grid-template-columns: minmax(8rem, 14rem) 1fr; gap: .3rem 1rem } dd { margin: 0 }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr } dd { margin-bottom: .5rem } }
summary { cursor: pointer; font-weight: 600; padding: .3rem 0 }
@media print { details { break-inside: avoid } }
"""


def table(caption: str, heads: Iterable[str], rows: Iterable[str], kind: str = "figures") -> str:
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    named = f"<caption>{escape(caption)}</caption>" if caption else ""
    parts = f"{named}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div class="scroll" tabindex="0"><table class="{kind}">{parts}</table></div>'


def row(name: str, cells: Iterable[str], kind: str = "") -> str:
    data = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr class="{kind}"><th scope="row">{escape(name)}</th>{data}</tr>'


class Section(NamedTuple):
    """A part of the page under a heading that links may name."""

    name: str
    title: str
    parts: tuple[str, ...]

    @property
    def html(self) -> str:
        inner = "\n".join(self.parts)
        return f'<section id="{self.name}">\n<h2>{escape(self.title)}</h2>\n{inner}\n</section>'


def contents(sections: Iterable[Section]) -> str:
    """Links to `sections`."""
    links = "".join(f'<li><a href="#{one.name}">{escape(one.title)}</a></li>' for one in sections)
    return f'<nav aria-label="Contents"><ol>{links}</ol></nav>'


def gallery(shown: Iterable[Picture]) -> str:
    return f'<div class="pictures">{"".join(map(_figure, shown))}</div>'


def _figure(picture: Picture) -> str:
    image = f'<div class="scroll" tabindex="0"><img src="{picture.uri}" alt="{escape(picture.alt)}"></div>'
    kind = "wide" if picture.wide else "half"
    return f'<figure class="{kind}">{image}<figcaption>{escape(picture.caption)}</figcaption></figure>'


def document(title: str, body: str) -> str:
    """The policy in its head forbids every fetch."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return f"""<!DOCTYPE html>
<html lang="en-GB">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{CSS}</style>
</head>
<body>
{body}
</body>
</html>
"""
