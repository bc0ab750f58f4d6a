"""Templates to pages."""

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from api.figures.window import HOUR
from api.models.energy import BANDS
from api.page import words
from api.page.assets import address

_environment = Environment(
    loader=PackageLoader("api.page"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters |= words.FILTERS
_environment.globals |= {
    "address": address,
    "statuses": words.NAMES,
    "reasons": words.REASONS,
    "meanings": words.MEANINGS,
    "bands": BANDS,
    "hour": HOUR,
    "lacking": words.lacking,
    "hours": words.hours,
}


def page(name: str, *, status: int = 200, **values: object) -> HTMLResponse:
    """Return the template of that name as an answer that is not kept."""
    headers = {"Cache-Control": "no-store"}
    return HTMLResponse(html(name, **values), status_code=status, headers=headers)


def html(name: str, **values: object) -> str:
    """Return the template of that name, filled in."""
    return _environment.get_template(f"{name}.html").render(**values)
