"""What a user types, before Hydra reads it: options first, and text that stays as it was typed.

Hydra reads `run_name=20180528_181110` as the number 20180528181110, `1e3` as 1000.0 and `1.10` as 1.1. Where the
schema wants text, such a value gets quotes here. Imported at every start, so nothing heavy may be imported here.
"""

import dataclasses
import math
import re
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from snowcover.errors import UserError
from snowcover.secrets import masked

Schema = Callable[[], Any]
"""What gives the class that says which keys are text; called only where one has to be known, for loading it is slow"""

# A value that Hydra may read as something other than its text; anything else need not be parsed twice.
MAY_BE_CHANGED = re.compile(r"(?i)=.*(\d[_.e]|\.\d|[+-]\d|\btrue\b|\bfalse\b|\binf\b|\bnan\b)")
# Hydra takes no `~` without quotes, and no shell puts the home in its place in `checkpoint.dir=~/x`.
HOME = re.compile(r"([^=~]+=)(~[^\s'\"\\\[\]{},()]*)")
# Of Hydra's functions those that hand their values on as they are; those of sweeps lose one pair of quotes.
SWEEPING = ("choice", "shuffle", "sort")
HANDING_ON = (*SWEEPING, "str", "tag")
# Keys of what a config names by `_target_` that are text for whatever class it is.
TEXTS_OF_COMPONENTS = ("_target_", "encoder_name", "encoder_weights", "folder")
# Hydra leaves the types of a sweeper's keys to the sweeper.
TEXTS_OF_SWEEPERS = ("study_name", "storage")


class ChangedKey(UserError):
    """A name in a mapping would be read as a number, and Hydra takes no quotes there."""


def texts_quoted(arguments: Sequence[str], schema: Schema) -> list[str]:
    """The arguments of a command line, each text in quotes that Hydra would read as another one.

    Raises:
        ChangedKey
    """
    in_quotes = []
    for one in arguments:
        if found := HOME.fullmatch(one):
            one = f"{found.group(1)}'{found.group(2)}'"
        in_quotes.append(_quoted(one, schema) if MAY_BE_CHANGED.search(one) and not one.startswith("-") else one)
    return in_quotes


def as_typed(override: str) -> str:
    """An override to be shown and kept: without the quotes that `texts_quoted` gave it, and without secrets."""
    key, _, value = override.partition("=")
    return masked(f"{key}={value[1:-1]}" if re.fullmatch(r"'[\w.+-]+'", value) else override)


def given_overrides(hydra_node: Any, of: str = "task") -> list[str]:
    """What was changed of the defaults, of the config itself or of Hydra's own node (`of="hydra"`).

    As it was typed: what it refers to, such as `${hydra:job.num}`, is looked up for each job, when its config is used.
    """
    from omegaconf import OmegaConf

    return [str(one) for one in list(OmegaConf.to_container(hydra_node.overrides[of], resolve=False) or ())]


def _quoted(override: str, schema: Schema) -> str:
    tree = _parsed(override)
    if tree is None or tree.value() is None:
        return override  # whoever runs it says what is wrong with it
    annotation = _annotation_of(tree.key().getText(), schema)
    if annotation is None:
        return override
    for begin, end, quote in sorted(_changed(tree.value(), annotation), reverse=True):
        override = f"{override[:begin]}{quote}{override[begin:end]}{quote[::-1]}{override[end:]}"
    return override


def _parsed(override: str) -> Any:
    """ANTLR's tree of an override by Hydra's own grammar; None where it is none."""
    from hydra.core.override_parser.overrides_visitor import HydraErrorListener
    from hydra.errors import HydraException
    from hydra.grammar.gen.OverrideLexer import CommonTokenStream, InputStream, OverrideLexer  # type: ignore
    from hydra.grammar.gen.OverrideParser import OverrideParser

    lexer = OverrideLexer(InputStream(override))
    parser = OverrideParser(CommonTokenStream(lexer))
    for part in (lexer, parser):
        part.removeErrorListeners()
        part.addErrorListener(HydraErrorListener())
    try:
        return parser.override()  # type: ignore[no-untyped-call]
    except HydraException:
        return None


def _changed(node: Any, annotation: Any, quote: str = "'") -> Iterator[tuple[int, int, str]]:
    """Beginning, end and quotes to come of each value below a node that is text and that Hydra would change."""
    from hydra.grammar.gen.OverrideParser import OverrideParser as Parser

    if isinstance(node, Parser.PrimitiveContext):
        if is_text(annotation):
            yield from ((*place, quote) for place in _number(node))
    elif isinstance(node, Parser.DictContainerContext):
        for pair in node.dictKeyValuePair():
            key = pair.dictKey()
            if is_text_map(annotation) and (places := list(_number(key))):
                raise _changed_key(node, places[0])
            yield from _changed(pair.element(), step(annotation, key.getText().strip()))
    elif isinstance(node, Parser.ListContainerContext):
        for element in node.element():
            yield from _changed(element, item(annotation))
    elif isinstance(node, Parser.FunctionContext):
        if (name := node.getChild(0).getText()) in HANDING_ON:
            quote = "\"'" if name in SWEEPING else quote
            named = {node.children.index(one) + 1 for one in node.argName()}  # reverse=true and the like
            for element in node.element():
                if node.children.index(element) not in named:
                    yield from _changed(element, annotation, quote)
    else:  # a value, or one choice of several
        for child in node.getChildren():
            if hasattr(child, "getChildren") and child.getChildCount():
                yield from _changed(child, annotation, quote)


def _number(node: Any) -> Iterator[tuple[int, int]]:
    """Where a value is one single number or truth value that does not read as it is written."""
    from hydra.grammar.gen.OverrideLexer import OverrideLexer

    symbols = [child.symbol for child in node.getChildren() if child.symbol.type != OverrideLexer.WS]
    if len(symbols) != 1:
        return  # Hydra joins several as they are
    (symbol,) = symbols
    text = symbol.text
    is_changed: dict[int, Callable[[], bool]] = {
        OverrideLexer.INT: lambda: str(int(text)) != text,
        OverrideLexer.FLOAT: lambda: str(float(text)) != text or not math.isfinite(float(text)),
        OverrideLexer.BOOL: lambda: True,
    }
    if symbol.type in is_changed and is_changed[symbol.type]():
        yield symbol.start, symbol.stop + 1


def _changed_key(node: Any, place: tuple[int, int]) -> ChangedKey:
    override = node.start.getInputStream().strdata
    key, name = override.partition("=")[0].lstrip("+"), override[slice(*place)]
    return ChangedKey(
        f"{key}: Hydra reads the name {name} as a number, and takes no quotes there: give it as a key of its own, "
        f"+{key}.{name}=..."
    )


def _annotation_of(key: str, schema: Schema) -> Any:
    """The type of a dotted key; None where nobody knows it."""
    if "/" in key or "@" in key:
        return str  # the choice of a group's file
    steps = key.split(".")
    if steps[0] == "hydra":
        return _annotation_of_hydras(steps[1:])
    annotation = schema()
    for name in steps:
        annotation = step(annotation, name)
    # A whole section has no value but the name of its file.
    return str if len(steps) == 1 and (fields(annotation) or is_component(annotation)) else annotation


def _annotation_of_hydras(steps: list[str]) -> Any:
    from hydra.conf import HydraConf

    if steps[:1] == ["sweeper"] and steps[-1] in TEXTS_OF_SWEEPERS:
        return str
    annotation: Any = HydraConf
    for name in steps:
        annotation = step(annotation, name)
    return annotation


def step(annotation: Any, name: str) -> Any:
    """The type of what an annotation calls `name`; None where it says nothing of it."""
    for option in options(annotation):
        if (own := fields(option)) is not None:
            return own.get(name)
        if is_component(option):
            return str if name in TEXTS_OF_COMPONENTS else None
        if typing.get_origin(option) is dict:
            return typing.get_args(option)[1]
        if typing.get_origin(option) is list:
            return typing.get_args(option)[0] if name.isdigit() else None
    return None


def item(annotation: Any) -> Any:
    """The type of a list's items."""
    found = [typing.get_args(option)[0] for option in options(annotation) if typing.get_origin(option) is list]
    return found[0] if found else None


def is_text(annotation: Any) -> bool:
    """Whether a value of that type is text, and can be no number or truth value."""
    found = options(annotation)
    return str in found and not {int, float, bool} & set(found)


def is_number(*annotations: Any) -> bool:
    """Whether a truth value, which Python counts as 0 or 1, would be taken for a number of one of these types."""
    found = [option for annotation in annotations for option in options(annotation)]
    return bool({int, float} & set(found)) and bool not in found


def is_text_map(annotation: Any) -> bool:
    """Whether it is a mapping whose names are the user's own."""
    return any(typing.get_origin(option) is dict and not is_component(option) for option in options(annotation))


def is_component(annotation: Any) -> bool:
    """Whether it is a mapping that holds anything, as the config of a `_target_` does."""
    return any(
        typing.get_origin(option) is dict and typing.get_args(option)[1] is Any for option in options(annotation)
    )


def options(annotation: Any) -> list[Any]:
    """The members of a union, or the type itself, without what pydantic is given with them."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return options(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [one for member in typing.get_args(annotation) for one in options(member)]
    return [annotation]


def fields_by_key(section: Any) -> dict[str, Any]:
    """A section's fields by what the user calls them: a word that is Python's own, such as `with`, is an alias."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def fields(annotation: Any) -> dict[str, Any] | None:
    """Types by name of a section of ours or one of Hydra's; None for what is neither."""
    if hasattr(annotation, "model_fields"):
        return {key: field.annotation for key, field in fields_by_key(annotation).items()}
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        return typing.get_type_hints(annotation)
    return None
