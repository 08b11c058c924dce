# SPDX-License-Identifier: Apache-2.0
"""Cards as text: rendered from a template, and put into a card that is there without touching its own words."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import Any

from huggingface_hub import CardData, RepoCard

BEGIN = "<!-- surglavi_hf: from here on written anew with each push; words before it and after its end are kept -->"
END = "<!-- surglavi_hf: end -->"


@dataclass
class Card:
    """
    Args:
        data: The metadata.
        text: Markdown.
    """

    data: dict[str, Any]
    text: str

    @classmethod
    def parse(cls, content: str) -> "Card":
        """Raises ValueError where the metadata is no YAML mapping."""
        if not content.lstrip("\ufeff").startswith("---"):
            return cls({}, content)
        card = RepoCard(content.lstrip("\ufeff"))
        return cls(card.data.to_dict(), card.text)

    @classmethod
    def render(cls, package: str, name: str, values: Mapping[str, str]) -> "Card":
        """Fills in one of the templates of a package, for example `surglavi_hf.model_card`."""
        return cls.parse(template(name, package).substitute(values))

    def __str__(self) -> str:
        return f"---\n{CardData(**self.data).to_yaml()}\n---\n\n{self.text.strip()}\n"

    def merged_into(self, existing: str | None, computed: Collection[str]) -> str:
        """
        Returns the card that is to be pushed. Of an existing card everything stays that is not between our marks; of
        its metadata everything but what is computed, and the tags of both.

        Args:
            existing: The card that is there now.
            computed: Names of metadata that follow from what is pushed.

        Raises:
            ValueError: the metadata of the existing card is no YAML mapping, or our marks are not there once each.
        """
        try:
            theirs = Card.parse(existing or "")
        except Exception as error:  # YAML's own
            reason = " ".join(str(error).split())
            raise ValueError(
                f"the README.md on the Hub has metadata that cannot be read ({reason}); mend it"
            ) from error
        before, _, rest = theirs.text.partition(BEGIN)
        after = rest.partition(END)[2]
        if (theirs.text.count(BEGIN), theirs.text.count(END), before.count(END)) not in ((0, 0, 0), (1, 1, 0)):
            raise ValueError(
                f"the README.md on the Hub lost a mark; put back {BEGIN!r} before {END!r}, or delete both"
            )
        block = self.text.strip() if BEGIN in self.text else f"{BEGIN}\n\n{self.text.strip()}\n\n{END}"
        kept = {name: value for name, value in theirs.data.items() if name not in computed}
        if isinstance(kept.get("tags"), list):
            kept["tags"] = list(dict.fromkeys([*kept["tags"], *self.data.get("tags", [])]))
        text = "\n\n".join(part for part in (before.strip(), block, after.strip()) if part)
        return str(Card(self.data | kept, text))


def template(name: str, package: str = "surglavi_hf.loading_script") -> Template:
    """Returns one of the texts that cards are made of."""
    return Template((files(package) / name).read_text(encoding="utf-8").rstrip() + "\n")


def table(rows: list[list[str]]) -> str:
    """Returns the rows of a Markdown table."""
    return "\n".join(f"| {' | '.join(map(inline, row))} |" for row in rows)


def inline(text: str) -> str:
    """Returns a text for one line of a card: nothing in it can end the line, a cell or our part of the card."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())
