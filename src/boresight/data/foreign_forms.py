"""All forms of other programs that are told by their keys, the more particular ones first."""

from boresight.data import alpaca, annotation_exports, judged_rows, openai_rows, rankings, sharegpt, unpaired
from boresight.data.forms import Form, Row

FOREIGN: tuple[Form, ...] = (
    *annotation_exports.FORMS,
    *rankings.FORMS,
    *judged_rows.FORMS,
    *openai_rows.FORMS,
    *sharegpt.FORMS,
    *alpaca.FORMS,
    *unpaired.FORMS,
)


def foreign_form(row: Row) -> Form | None:
    """The form of a row, or None for one that is read by its columns."""
    return next((form for form in FOREIGN if form.fits(row)), None)


def form_named(name: str) -> Form | None:
    """The form of that name, or None."""
    return next((form for form in FOREIGN if form.name == name), None)
