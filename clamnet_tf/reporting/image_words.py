"""Call the pictures of radiography images, not slices, in sentences and on pages.

Sentences are written for slices of volumes. A radiograph has none, and a reader of its page would wonder.
"""

import re

_WORD = r"(?<![\w/\\.-])([Ss])lice(s?)(?![\w/\\-]|\.\w)"  # no part of a path or of a longer name
_WITH_ARTICLE = re.compile(rf"\b([Aa]) {_WORD}")
_ALONE = re.compile(_WORD)
_MARKUP = re.compile(r"(<script\b.*?</script>|<style\b.*?</style>|<[^>]*>)", re.DOTALL)


def in_words_of(modality: str, text: str) -> str:
    """Return a sentence with "image" in place of "slice" when the modality is xray; otherwise as it is."""
    if modality != "xray":
        return text
    return _ALONE.sub(_image, _WITH_ARTICLE.sub(lambda match: f"{match[1]}n image{match[3]}", text))


def page_in_words_of(modality: str, page: str) -> str:
    """Return an HTML page whose visible text is `in_words_of` the modality; scripts and tags stay."""
    if modality != "xray":
        return page
    parts = _MARKUP.split(page)
    return "".join(part if index % 2 else in_words_of(modality, part) for index, part in enumerate(parts))


def _image(match) -> str:
    return ("Image" if match[1] == "S" else "image") + match[2]
