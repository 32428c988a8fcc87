"""A table of TOML as a pydantic model that takes nothing unknown, and the ids that may stand in one."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from harness.registry import suggestion

#: Ids become parts of pytest ids, file names and URLs, so nothing that quotes, separates or hides may stand in them.
ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


def checked_id(text: str) -> str:
    """Return an id unchanged; raises PydanticCustomError for one that would break a pytest id or a file name."""
    if not ID.fullmatch(text) or text.endswith("."):
        raise wrong(
            f"{text!r} cannot be an id: it is part of pytest ids and file names",
            remedy="use letters, digits and . _ + - and begin with a letter or digit",
        )
    return text


def wrong(text: str, *, remedy: str, **more: Any) -> PydanticCustomError:
    """Return the error of a validator; `harness.registry.blame` makes a LabError of it."""
    return PydanticCustomError("wrong", "{text}; {remedy}", {"text": text, "remedy": remedy, **more})


Id = Annotated[str, AfterValidator(checked_id)]


class Table(BaseModel):
    """A TOML table: strict types, and an unknown key is an error that names the nearest known one."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if isinstance(value, dict) and cls.model_config.get("extra") == "forbid":
            for key in value:
                if key not in cls.model_fields:
                    raise wrong("unknown key", remedy=suggestion(str(key), cls.model_fields), key=key)
        return value
