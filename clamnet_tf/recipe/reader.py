"""Read strict YAML text into a tree of nodes that know where they were written.

The tree is built from the events of PyYAML's SafeLoader, never by its constructors: no tag can create an
object. Besides broken YAML this refuses repeated keys, tags, merge keys, several documents, aliases that
explode, deep nesting, files over 1 MB and encodings other than UTF-8. A problem at one value does not hide
those of the others.
"""

import copy
import os
import re
from dataclasses import dataclass, field
from typing import Union

import yaml

from clamnet_tf.files import open_regular
from clamnet_tf.recipe.problems import Place, Problem
from clamnet_tf.recipe.scalars import plain_value

LARGEST_FILE = 1_000_000  # bytes
MOST_VALUES = 10_000  # in a whole recipe, aliases expanded
DEEPEST = 20  # levels of nesting

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_CORE_TAGS = {
    "tag:yaml.org,2002:" + name: kinds
    for name, kinds in {
        "str": (str,),
        "int": (int,),
        "float": (float, int),
        "bool": (bool,),
        "null": (type(None),),
        "seq": (list,),
        "map": (dict,),
    }.items()
}


class Unreadable:
    """Stands for a value whose problem is already reported."""


UNREADABLE = Unreadable()


Value = Union[str, int, float, bool, None, "list[Node]", "dict[str, Node]", Unreadable]


@dataclass
class Node:
    """Holds a value and where it was written.

    Attributes:
        place: place of the value's key.
        value: text, number, bool, None, a list of nodes, a dict of nodes, or UNREADABLE.
        size: number of values below it, itself included.
    """

    place: Place
    value: "Value"
    size: int = field(default=1, compare=False)

    def plain(self):
        """Return the value as ordinary Python lists and dicts, without the unreadable parts."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items() if child.value is not UNREADABLE}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value if child.value is not UNREADABLE]
        return self.value

    def unreadable(self, path=()):
        """Yield the paths of the values that are UNREADABLE."""
        if self.value is UNREADABLE:
            yield path
        elif isinstance(self.value, (dict, list)):
            for key, child in self.value.items() if isinstance(self.value, dict) else enumerate(self.value):
                yield from child.unreadable((*path, key))


def as_node(value, place: Place) -> Node:
    """Return plain lists, dicts and scalars as a tree, all of it written at `place`."""
    if isinstance(value, dict):
        return Node(place, {str(key): as_node(child, place) for key, child in value.items()})
    return Node(place, [as_node(child, place) for child in value] if isinstance(value, list) else value)


class Refused(Exception):
    """Raised when the rest of the text cannot be read; carries the Problem."""


def read_file(path, name=None) -> "tuple[Node | None, list[Problem]]":
    """Return (tree, problems) of a recipe file, called `name` in messages; the tree is None when nothing
    can be used.
    """
    label = Place(os.fspath(name or path))
    try:
        with open_regular(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            content = stream.read(LARGEST_FILE + 1) if size <= LARGEST_FILE else b""
    except IsADirectoryError:
        return None, [Problem(label, (), "a recipe file", "a folder", "name the .yaml file")]
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        return None, [
            Problem(
                label,
                (),
                "a readable file",
                getattr(error, "strerror", None) or str(error),
                "check the path and its permissions",
            )
        ]
    if max(size, len(content)) > LARGEST_FILE:
        received = f"{size / 1e6:.1f} MB" if size > LARGEST_FILE else "more"
        return None, [Problem(label, (), "a recipe of at most 1 MB", received, "is this a recipe?")]
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = Place(label.source, content.count(b"\n", 0, error.start) + 1)
        return None, [
            Problem(
                place, (), "UTF-8 text", f"the byte 0x{content[error.start]:02x}", "save the file as UTF-8"
            )
        ]
    return read_text(text, label.source)


def read_text(text: str, source: str) -> "tuple[Node | None, list[Problem]]":
    """Return (tree, problems) of a recipe's text, which must be one mapping; messages call it `source`."""
    node, problems = read_value(text, Place(source, 1))
    if node is not None and not isinstance(node.value, (dict, Unreadable)):
        received = {list: "a list", type(None): "nothing"}.get(type(node.value), "a single value")
        problems.append(
            Problem(node.place, (), "keys and sections (name: ..., modality: ..., condition: ...)", received)
        )
        return None, problems
    return node, problems


def read_value(text: str, place: Place, path=()) -> "tuple[Node | None, list[Problem]]":
    """Return (tree, problems) of one YAML value. Lines are counted only when `place` has a line (a file)."""
    builder = _Builder(place)
    node = None
    try:
        events = yaml.parse(text, Loader=yaml.SafeLoader)
        node = builder.document(events, path)
    except Refused as refusal:
        builder.problems.append(refusal.args[0])
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        builder.report(
            path, "printable text", f"the character U+{error.character:04X}", line=line, advice="remove it"
        )
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        received = _unquoted(": ".join(filter(None, [error.context, error.problem])))
        builder.report(path, "valid YAML", f"a fault ({received})", line=mark.line + 1 if mark else 1)
    except ValueError:  # PyYAML on an escape beyond Unicode, "\U00110000"
        builder.report(path, "valid YAML", "an escape that is no character", line=1)
    return node, builder.problems


class _Builder:
    def __init__(self, place):
        self.base = place
        self.problems = []
        self.anchors = {}
        self.values = 0

    def place(self, mark) -> Place:
        return self.base if self.base.line is None else Place(self.base.source, mark.line + 1, self.base.rank)

    def report(self, path, expected, received, *, line=None, mark=None, advice=""):
        place = self.place(mark) if mark is not None else self.base
        if line is not None and self.base.line is not None:
            place = Place(self.base.source, line, self.base.rank)
        self.problems.append(Problem(place, tuple(path), expected, received, advice))

    def document(self, events, path):
        """Return the first document as a Node, or None when there is none; a second one is a problem."""
        node = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if node is not None:
                    self.report(
                        path,
                        "one document",
                        "a second one after ---",
                        mark=event.start_mark,
                        advice="split the file",
                    )
                    break
                node = self.node(next(events), events, path)
        return Node(self.base, None) if node is None else node

    def node(self, event, events, path):
        mark = event.start_mark
        self.count(1, path, mark)
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, path)
        if len(path) > DEEPEST:
            raise Refused(
                Problem(self.place(mark), tuple(path[:3]), f"at most {DEEPEST} levels of nesting", "more")
            )
        node = Node(self.place(mark), None)
        if event.anchor:
            self.anchors[event.anchor] = None  # not before it is complete
        if isinstance(event, yaml.ScalarEvent):
            node.value = (
                event.value
                if event.style or event.tag == "tag:yaml.org,2002:str"
                else plain_value(event.value)
            )
            if not is_text(event.value):
                self.report(path, "text", "an escape that is no character", mark=mark)
                node.value = UNREADABLE
        elif isinstance(event, yaml.SequenceStartEvent):
            node.value = self.entries(events, path)
        else:
            node.value = self.mapping(events, path)
        if isinstance(node.value, (list, dict)):
            children = node.value.values() if isinstance(node.value, dict) else node.value
            node.size += sum(child.size for child in children)
        if (
            event.tag
            and node.value is not UNREADABLE
            and type(node.value) not in _CORE_TAGS.get(event.tag, ())
        ):
            self.report(
                path,
                "a plain value",
                f"the tag {short_tag(event.tag)}",
                mark=mark,
                advice="remove the tag; recipes hold data only",
            )
            node.value = UNREADABLE
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def count(self, values, path, mark):
        self.values += values
        if self.values > MOST_VALUES:
            received = "more" if values == 1 else "aliases that expand to more"
            raise Refused(
                Problem(self.place(mark), tuple(path), f"at most {MOST_VALUES} values in a recipe", received)
            )

    def alias(self, event, path):
        target = self.anchors.get(event.anchor)
        mark = event.start_mark
        if target is None:
            received = (
                f"*{event.anchor} inside itself"
                if event.anchor in self.anchors
                else f"*{event.anchor}, which has no anchor before it"
            )
            self.report(path, "a value", received, mark=mark, advice="write the value out")
            return Node(self.place(mark), UNREADABLE)
        self.count(target.size - 1, path, mark)
        return copy.deepcopy(target)

    def entries(self, events, path):
        items: list[Node] = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                return items
            items.append(self.node(event, events, (*path, len(items))))
        raise AssertionError("PyYAML ends every sequence")

    def mapping(self, events, path):
        entries: dict[str, Node] = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                return entries
            place = self.place(event.start_mark)
            key = self.key(event, events, path)
            node = self.node(next(events), events, (*path, key or "?"))
            if key is None:
                continue
            if key in entries:
                received = (
                    "it again"
                    if place.line is None
                    else f"it again (first on line {entries[key].place.line})"
                )
                self.report(
                    (*path, key),
                    "each key once",
                    received,
                    mark=event.start_mark,
                    advice="remove one of them",
                )
                continue
            node.place = place
            entries[key] = node
        raise AssertionError("PyYAML ends every mapping")

    def key(self, event, events, path):
        """Return the text of a key as it is written (so that `on:` and `1:` are text), or None after
        reporting a problem.
        """
        if isinstance(event, yaml.ScalarEvent):
            if event.value == "<<" and not event.style:
                self.report(
                    path, "a key", "the merge key <<", mark=event.start_mark, advice="write the keys out"
                )
                return None
            if event.tag not in (None, "tag:yaml.org,2002:str"):
                self.report(
                    path,
                    "a plain key",
                    f"the tag {short_tag(event.tag)}",
                    mark=event.start_mark,
                    advice="remove the tag",
                )
                return None
            if not is_text(event.value):
                self.report(path, "a key", "an escape that is no character", mark=event.start_mark)
                return None
            if event.anchor:
                self.anchors[event.anchor] = Node(self.place(event.start_mark), event.value)
            return event.value
        self.report(path, "a word as key", "a list, a mapping or an alias", mark=event.start_mark)
        self.node(event, events, (*path, "?"))
        return None


def _unquoted(text: str) -> str:
    """Return PyYAML's message without the words of the file that it quotes; single signs and names of
    tokens in <> stay.
    """
    return _QUOTED.sub(
        lambda found: found[0] if len(found[0]) <= 3 or found[0].startswith("'<") else "a word", text
    )


def is_text(text: str) -> bool:
    """Tell whether UTF-8 can hold the text: half of a surrogate pair, which the escape \\ud800 makes,
    cannot be encoded.
    """
    return not any("\ud800" <= character <= "\udfff" for character in text)


def short_tag(tag: str) -> str:
    """Return a tag as it stands in the file: tag:yaml.org,2002:python/object -> !!python/object."""
    text = "!!" + tag[len("tag:yaml.org,2002:") :] if tag.startswith("tag:yaml.org,2002:") else tag
    return ascii(text[:80])[1:-1]
