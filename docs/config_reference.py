"""The config reference: every key with its default and the text under its field. A hook of MkDocs."""

from collections.abc import Iterator
from typing import Any

import hydra
import yaml
from omegaconf import DictConfig, OmegaConf

from snowcover.config_root import config_root
from snowcover.overrides import fields_by_key

MARK = "<!-- all keys -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """What MkDocs calls with each page."""
    return markdown.replace(MARK, "\n".join(_reference())) if MARK in markdown else markdown


def _reference() -> Iterator[str]:
    from snowcover.config import Config
    from snowcover.evaluate.config import Config as EvaluateConfig
    from snowcover.predict.config import Config as PredictConfig
    from snowcover.prepare.config import Config as PrepareConfig
    from snowcover_launch.config import AwsConfig, LaunchConfig

    yield from _table("python -m snowcover.train", _composed("config"), Config)
    yield from _table(
        "Keys of the launcher", _composed("config"), LaunchConfig, AwsConfig, prefixes=("launch.", "aws.")
    )
    for command, schema in (("prepare", PrepareConfig), ("predict", PredictConfig), ("evaluate", EvaluateConfig)):
        yield from _table(f"python -m snowcover.{command}", _composed(command), schema)


def _composed(name: str) -> DictConfig:
    with hydra.initialize_config_dir(str(config_root(name)), version_base="1.3"):
        return hydra.compose(name)


def _table(title: str, composed: DictConfig, *schemas: Any, prefixes: tuple[str, ...] = ("",)) -> Iterator[str]:
    yield from (f"\n## {title}\n", "| key | default | meaning |", "|---|---|---|")
    for schema, prefix in zip(schemas, prefixes, strict=True):
        for key, text in keys(schema, prefix):
            yield f"| `{key}` | {_default(composed, key)} | {text} |"


def keys(schema: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each key that users type, with its meaning."""
    for name, field in fields_by_key(schema).items():
        if hasattr(field.annotation, "model_fields"):
            yield from keys(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", " ".join((field.description or "").split()).replace("|", "\\|")


def _default(composed: DictConfig, key: str) -> str:
    try:
        value = OmegaConf.select(composed, key)
    except Exception:  # from the environment, which says nothing here
        return "from the environment"
    if OmegaConf.is_dict(value):
        return f"of `conf/{key.partition('.')[0]}/`"
    if OmegaConf.is_missing(*_split(composed, key)):
        return "required"
    if OmegaConf.is_list(value):
        value = OmegaConf.to_container(value)
    text = yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()
    return f"`{text}`"


def _split(composed: DictConfig, key: str) -> tuple[Any, str]:
    parent, _, last = key.rpartition(".")
    return (OmegaConf.select(composed, parent) if parent else composed), last
