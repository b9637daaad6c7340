"""Where the words of a file come from: the file itself, what lies beside it, and people's tables.

The library's column ``metadata`` has what all of them give together: it is what is searched and
shown. ``origins`` remembers them one by one, of files that have more than their own, so that each
can change without the others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from wav2clip.audio.metadata import bounded
from wav2clip.library.words import FIELDS

COLUMNS = {
    "title": FIELDS["title"],
    "description": ("description", "comment", "note", "subject"),
    "keywords": ("keywords",),
    "creator": FIELDS["creator"],
    "library": FIELDS["library"],
    "category": ("category", "genre"),
    "subcategory": ("subcategory",),
    "catid": ("catid",),
}
"""What is asked for in tables, and the fields of metadata that say it."""


@dataclass(frozen=True)
class Origins:
    """Texts by the name of their field.

    Attributes:
        own: in the file; None if it was not read yet.
        beside: in sidecars.
        stamp: of these, see :meth:`.beside.Beside.stamp`.
        imported: from a table of a user's; each takes the place of what the others say of it.
    """

    own: Mapping[str, str] | None
    beside: Mapping[str, str] = field(default_factory=dict)
    stamp: str = ""
    imported: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, metadata: str | None, origins: str | None) -> Origins:
        """From the two columns."""
        if origins is None:
            return cls(None if metadata is None else json.loads(metadata))
        return cls(**json.loads(origins))

    def columns(self) -> tuple[str | None, str | None]:
        """JSON for ``metadata`` and ``origins``; None for what is unknown or needs no memory."""
        metadata = None if self.own is None else json.dumps(self.together())
        more = self.beside or self.stamp or self.imported
        return metadata, json.dumps(vars(self)) if more else None

    def together(self) -> dict[str, str]:
        """What is searched and shown."""
        said = self.said()
        for name in self.imported:
            for replaced in COLUMNS.get(name, ()):
                said.pop(replaced, None)
        return bounded([*self.imported.items(), *said.items()])

    def said(self) -> dict[str, str]:
        """What the file and its sidecars say."""
        return bounded([*(self.own or {}).items(), *self.beside.items()])


def shown(metadata: Mapping[str, str], column: str) -> str:
    """What metadata say for a column of a table."""
    texts = (metadata[name] for name in COLUMNS.get(column, (column,)) if name in metadata)
    return "; ".join(dict.fromkeys(texts))
