"""Search templates: attributes to look for, each with the accepted values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from hsmcore.tables.attributes import Value


@dataclass(frozen=True, slots=True)
class SearchTemplate:
    """Selects the keys that have one of the accepted values of each attribute. An empty one selects every key."""

    choices: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)

    @classmethod
    def exactly(cls, values: Mapping[str, Value]) -> SearchTemplate:
        """Return the template that accepts one value of each attribute."""
        return cls({name: (value,) for name, value in values.items()})

    def within(self, names: Collection[str]) -> SearchTemplate:
        """Return the part about these attributes."""
        return SearchTemplate({name: values for name, values in self.choices.items() if name in names})

    def without(self, names: Collection[str]) -> SearchTemplate:
        """Return the part about other attributes than these."""
        return SearchTemplate({name: values for name, values in self.choices.items() if name not in names})

    def fits(self, attributes: Mapping[str, Value]) -> bool:
        """Tell whether a key with these attributes is selected."""
        return all(attributes.get(name) in values for name, values in self.choices.items())
