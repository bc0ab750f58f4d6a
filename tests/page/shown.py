"""The words that a page of HTML shows."""

import re
from html import unescape


def tile(page: str, name: str) -> str:
    """Return all words of the tile of that name."""
    found = re.search(rf"<dt>{name}</dt>(.*?)</div>", page, re.DOTALL)
    assert found is not None, name
    return words_of(found[1])


def words_of(html: str) -> str:
    """Return the text of some HTML."""
    return " ".join(unescape(re.sub("<[^>]*>", "", html.replace("</dd>", " "))).split())


def cells(page: str, table: str) -> list[list[str]]:
    """Return the texts of a table's rows, without the head."""
    body = page.split(table, 1)[1].split("</thead>", 1)[1].split("</table>", 1)[0]
    return [
        [words_of(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
        for row in body.split("<tr>")[1:]
    ]
