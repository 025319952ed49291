"""Validates objects of KEDA and of the Prometheus operator, and refuses fields that do not exist.

No registry has their schemas as JSON. The npm packages `@kubernetes-models/*` have TypeScript declarations that are
generated from the operators' sources. This module reads these.
"""

import re
from functools import cache
from pathlib import Path

MODULES = Path(__file__).parent / "node_modules"
PACKAGES = {
    "keda.sh": MODULES / "@kubernetes-models/keda",
    "monitoring.coreos.com": MODULES / "@kubernetes-models/prometheus-operator",
}
TOKEN = re.compile(r'\s+|/\*.*?\*/|(?P<text>"[^"]*")|(?P<word>[A-Za-z_$][\w$]*)|(?P<sign>.)', re.DOTALL)
IMPORT = re.compile(r'import \{ ([^}]*) \} from "([^"]+)"')
PRIMITIVES = {"string": str, "number": (int, float), "boolean": bool}


def faults(document):
    """What is wrong with an object, as texts that begin with the path of a field."""
    group, version = document["apiVersion"].split("/")
    declaration = PACKAGES[group] / group / version / f"{document['kind']}.d.ts"
    if not declaration.exists():
        return [f"apiVersion: there is no {document['kind']} in {document['apiVersion']}"]
    return list(check(document, ("name", declaration, f"I{document['kind']}"), ""))


def check(value, of, path):
    """Compares a value with a type, which is a tuple: what kind of type it is, and its parts."""
    kind, *parts = of
    at = path or "the object"
    if kind == "name":
        yield from check(value, resolve(*parts), path)
    elif kind == "any":
        return
    elif kind == "primitive":
        (name,) = parts
        if not isinstance(value, PRIMITIVES[name]) or (name == "number" and isinstance(value, bool)):
            yield f"{at}: {value!r} is not a {name}"
    elif kind == "literal":
        if value != parts[0]:
            yield f"{at}: {value!r} is not {parts[0]!r}"
    elif kind == "union":
        if all(any(check(value, option, path)) for option in parts[0]):
            yield f"{at}: {value!r} is none of {[option[-1] for option in parts[0]]}"
    elif kind == "array":
        if not isinstance(value, list):
            yield f"{at}: {value!r} is not a list"
        else:
            for index, item in enumerate(value):
                yield from check(item, parts[0], f"{path}[{index}]")
    elif not isinstance(value, dict):
        yield f"{at}: {value!r} is not an object"
    elif kind == "map":
        for key, item in value.items():
            yield from check(item, parts[0], f"{path}.{key}")
    else:
        fields = parts[0]
        for key, item in value.items():
            if key in fields:
                yield from check(item, fields[key][1], f"{path}.{key}".lstrip("."))
            else:
                yield f"{path}.{key}: there is no such field".lstrip(".")
        for key, (required, _) in fields.items():
            if required and key not in value:
                yield f"{path}.{key}: missing".lstrip(".")


@cache
def resolve(declaration, name):
    """The type that a declaration file calls `name`: declared there, or imported."""
    text = declaration.read_text()
    for names, source in IMPORT.findall(text):
        if name in names.split(", "):
            return imported(declaration, source, name)
    parser = Parser(text, declaration)
    if f"export type {name} =" in text:
        parser.skip_behind("type", name, "=")
        return parser.type()
    parser.skip_behind("interface", name)
    fields = {}
    while parser.peek() != "{":
        base = parser.next()
        if base not in ("extends", ",", "TypeMeta"):
            fields.update(fields_of(resolve(declaration, base)))
    fields.update(fields_of(parser.object()))
    return ("object", fields)


def fields_of(of):
    while of[0] == "name":
        of = resolve(*of[1:])
    return of[1]


def imported(declaration, source, name):
    if source.startswith("."):
        path = (declaration.parent / source).with_suffix("").with_suffix(".d.ts")
    else:
        path = MODULES / f"{source}.d.ts"
    # A file declares its type under a short name, and exports it under a long one as well.
    alias = re.search(rf"\b(\w+) as {name}\b", path.read_text())
    return ("name", path, alias.group(1) if alias else name)


class Parser:
    """Reads the types of a declaration file."""

    def __init__(self, text, declaration):
        tokens = (match for match in TOKEN.finditer(text) if match.lastgroup)
        self.tokens = [match.group() for match in tokens]
        self.at = 0
        self.declaration = declaration

    def peek(self):
        return self.tokens[self.at]

    def next(self):
        self.at += 1
        return self.tokens[self.at - 1]

    def expect(self, token):
        found = self.next()
        if found != token:
            raise ValueError(f"{self.declaration}: expected {token}, found {found}")

    def skip_behind(self, *tokens):
        length = len(tokens)
        while tuple(self.tokens[self.at : self.at + length]) != tokens:
            self.at += 1
        self.at += length

    def type(self):
        options = [self.single()]
        while self.peek() == "|":
            self.next()
            options.append(self.single())
        return options[0] if len(options) == 1 else ("union", options)

    def single(self):
        if self.peek() == "{":
            return self.object()
        token = self.next()
        if token == "(":
            of = self.type()
            self.expect(")")
        elif token.startswith('"'):
            of = ("literal", token.strip('"'))
        elif token in PRIMITIVES:
            of = ("primitive", token)
        elif token in ("any", "unknown", "object"):
            of = ("any",)
        elif token == "Array":
            self.expect("<")
            of = ("array", self.type())
            self.expect(">")
        else:
            of = ("name", self.declaration, token)
        return of

    def object(self):
        self.expect("{")
        fields = {}
        while self.peek() != "}":
            if self.peek() == "[":
                for token in ("[", "key", ":", "string", "]", ":"):
                    self.expect(token)
                of = ("map", self.type())
                self.expect(";")
                self.expect("}")
                return of
            name = self.next().strip('"')
            required = self.peek() != "?"
            if not required:
                self.next()
            self.expect(":")
            fields[name] = (required, self.type())
            self.expect(";")
        self.expect("}")
        return ("object", fields)
