"""What a model wrote, as HTML that cannot do anything: Markdown without HTML in it, without pictures, with plain links.

The content policy would let no script of it run; here none gets so far.
"""

import nh3
from markdown_it import MarkdownIt

TAGS = {
    "p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a",
    "h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
SCHEMES = {"http", "https", "mailto"}
MOST_CHARACTERS = 100_000
"""Of a text that is shown as Markdown; a longer one is shown as it is."""

_reader = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")


def markdown(text: str) -> str | None:
    """Safe HTML, or None where the text is too long for it. Headings are told as bold paragraphs: the page has its own
    order of headings, which readers of the screen go by."""
    if len(text) > MOST_CHARACTERS:
        return None
    made = _reader.render(text.replace("\0", "\ufffd"))
    for level in range(1, 7):
        made = made.replace(f"<h{level}>", "<p><strong>").replace(f"</h{level}>", "</strong></p>")
    return nh3.clean(
        made,
        tags=TAGS,
        attributes={"a": {"href", "title"}, "ol": {"start"}},
        url_schemes=SCHEMES,
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )
