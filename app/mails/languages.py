"""Translations, read from the catalogs as they are written: nothing has to be built."""

import functools
import io
from datetime import UTC, datetime
from gettext import GNUTranslations, NullTranslations
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from app.deferred import deferred
from app.settings import Language

if TYPE_CHECKING:
    from babel import dates
    from babel.messages import mofile, pofile
else:
    dates = deferred("babel.dates")
    mofile, pofile = deferred("babel.messages.mofile"), deferred("babel.messages.pofile")

FOLDER = Path(__file__).parent
TEMPLATES = FOLDER / "templates"
CATALOGS = FOLDER / "locale"
WRITTEN_IN = Language.EN
"""The language of the templates themselves."""
EXTENSIONS = ("jinja2.ext.i18n",)
MOMENT = "d MMMM y, HH:mm"


@functools.cache
def templates(language: Language) -> Environment:
    """Return the templates, which speak a language. What is HTML escapes what it is given."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html"]),
        extensions=EXTENSIONS,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    translations = _translations(language)
    environment.install_gettext_callables(  # type: ignore[attr-defined] # of the extension
        translations.gettext, translations.ngettext, newstyle=True
    )
    environment.filters["moment"] = functools.partial(_moment, language)
    return environment


def _moment(language: Language, moment: datetime) -> str:
    """Write a time in words; everybody can tell what it is where they are."""
    return f"{dates.format_datetime(moment, MOMENT, tzinfo=UTC, locale=language)} UTC"


def _translations(language: Language) -> NullTranslations:
    if language is WRITTEN_IN:
        return NullTranslations()
    with (CATALOGS / f"{language}.po").open("rb") as file:
        catalog = pofile.read_po(file, locale=language)
    compiled = io.BytesIO()
    mofile.write_mo(compiled, catalog)
    compiled.seek(0)
    return GNUTranslations(compiled)
