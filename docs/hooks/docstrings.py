"""Docstrings of the package -> Markdown for the reference: an extension of griffe, the reader behind mkdocstrings.

It knows the three habits of this package that griffe does not: public names are loaded lazily (``_NAMES``), records
are explained by the comments behind their fields, and docstrings use field lists and roles.
"""
from __future__ import annotations

import ast
import re
from typing import Any

import griffe

__all__ = ["HouseStyle", "as_markdown"]

_ROLE = re.compile(r":(?:class|func|meth|mod|attr|data|exc):`~?([^`]+)`")
_FIELD = re.compile(r"^:(param|raises|returns?)\s*([^:]*):\s*(.*)$")
_TITLES = {"param": "Parameters", "raises": "Raises", "returns": "Returns", "return": "Returns"}


class HouseStyle(griffe.Extension):
    """Gives griffe what it cannot see; named in ``mkdocs.yml``."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Public names appear where users import them from, in the root."""
        names = pkg.members.get("_NAMES")
        if names is not None:
            for name, module in ast.literal_eval(str(names.value)).items():
                pkg.set_member(name, griffe.Alias(name, "%s.%s.%s" % (pkg.path, module, name)))

    def on_class_members(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        """The fields of a record become a list below its description, each with the comment behind it."""
        record = any(str(base).split(".")[-1] == "NamedTuple" for base in cls.bases) \
            or any("dataclass" in str(decorator.value) for decorator in cls.decorators)
        fields = [member for member in cls.members.values() if record and member.is_attribute and member.annotation]
        if fields:
            text = cls.docstring.value if cls.docstring else ""
            lines = ["- `%s` (`%s`)%s" % (field.name, str(field.annotation).strip("\"'"), _comment(field))
                     for field in fields]
            cls.docstring = griffe.Docstring("\n".join([text, "", "**Fields**", ""] + lines), parent=cls)
            for field in fields:
                del cls.members[field.name]

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def _comment(attr: griffe.Attribute) -> str:
    """The comment that starts behind the field, with the lines that go on with it; empty without one."""
    lines = attr.parent.source.splitlines()[attr.lineno - attr.parent.lineno:]
    first = re.match(r"[^#]*?\s+# ?(.*)", lines[0]) if lines else None
    if first is None:
        return ""
    words = [first.group(1)]
    for line in lines[1:]:
        if not line.lstrip().startswith("#"):
            break
        words.append(line.lstrip().lstrip("# "))
    return ": " + " ".join(words)


def as_markdown(text: str) -> str:
    """Field lists become lists, roles links, doctests and literal blocks code."""
    lines = text.splitlines()
    written = []
    at, title = 0, ""
    while at < len(lines):
        line = lines[at]
        field = _FIELD.match(line)
        if field:
            kind, names, words = field.groups()
            at += 1
            while at < len(lines) and lines[at].startswith("    "):
                words += " " + lines[at].strip()
                at += 1
            if _TITLES[kind] != title:
                title = _TITLES[kind]
                written += ["", "**%s**" % title, ""]
            named = ", ".join("`%s`" % name.strip() for name in names.split(",") if name.strip())
            written.append("- " + ": ".join(part for part in (named, words.strip()) if part))
        elif line.startswith(">>>"):
            written += ["", "```python"]
            while at < len(lines) and lines[at].strip():
                written.append(lines[at])
                at += 1
            written += ["```", ""]
        else:
            if line.strip():
                title = ""
            written.append("" if line.strip() == "::" else re.sub(r"::$", ":", line))
            at += 1
    return _ROLE.sub(_link, "\n".join(written))


def _link(role: Any) -> str:
    name = role.group(1)
    shown = name.split(".")[-1] if name.startswith("coral_classify.") else name
    return '<autoref optional identifier="%s"><code>%s</code></autoref>' % (name, shown)
