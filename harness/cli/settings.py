"""--lab, --store and --debug, taken before and after a command's name, and how an error is shown."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from harness.errors import HarnessError, LabError, StoreError
from harness.redaction import redacted

if TYPE_CHECKING:
    from harness.store import Store

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Settings:
    """What the user said about where things are; the command's own value wins over the one before its name."""

    lab: Path | None = None
    store: str | None = None
    debug: bool = False

    def folder(self) -> Path:
        """Return the lab; raises LabError when there is none."""
        from harness.lab import find

        if self.lab is None:
            return find(Path.cwd())
        # A lab that was named is that folder or none: the one above it would be somebody else's.
        if not ((self.lab / "devices").is_dir() and (self.lab / "suites").is_dir()):
            raise LabError("holds no devices/ and suites/", remedy="correct --lab", file=str(self.lab))
        return self.lab.absolute()

    def folder_if_any(self) -> Path | None:
        """Return the lab, or None: results can be read without one where --store and --out say the rest."""
        try:
            return self.folder()
        except LabError:
            if self.lab is not None:
                raise
            return None

    def open_store(self) -> Store:
        """Return the results, to read them; raises StoreError when nothing has been measured yet, and makes no file."""
        from harness.store import Place, Store, file_of, named

        url = named(self.store)
        if url is None:
            file = file_of(self.folder())
            if not file.exists():
                raise StoreError(
                    "nothing has been measured in this lab", remedy="run `pytest suites --device ID` first"
                )
            url = f"sqlite:///{file}"
        return Store(url, existing=True, place=Place(str(self.folder_if_any() or "")))


class CommandError(click.ClickException):
    """An error as the user sees it: one or two lines, exit code 2."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it to standard error."""
        click.echo(f"edgeward: {redacted(self.message)}", file=file or sys.stderr)


class Commands(click.Group):
    """A group whose commands fail in one or two lines unless --debug asks for the traceback."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is met with the nearest."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            from harness.registry import suggestion

            raise CommandError(f"no command {args[0]!r}; {suggestion(args[0], self.commands)}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error that the user can act on becomes lines, any other says how to see more."""
        settings = ctx.ensure_object(Settings)
        try:
            return super().invoke(ctx)
        except HarnessError as error:
            if settings.debug:
                raise
            raise CommandError(str(error)) from error
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if settings.debug:
                raise
            kind = type(error).__name__
            raise CommandError(
                f"unexpected {kind}: {error}\nthis is a fault of edgeward: --debug shows where"
            ) from error


def _keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value:
        setattr(ctx.ensure_object(Settings), str(parameter.name), value)


def with_settings(command: F) -> F:
    """Give a command --lab, --store and --debug; they end up in the context's Settings."""
    options = (
        click.option(
            "--debug", is_flag=True, expose_value=False, callback=_keep, is_eager=True, help="Show tracebacks."
        ),
        click.option(
            "--store", metavar="URL", expose_value=False, callback=_keep, help="SQLAlchemy URL of the results."
        ),
        click.option(
            "--lab",
            metavar="DIR",
            type=click.Path(path_type=Path),
            expose_value=False,
            callback=_keep,
            help="Folder with devices/ and suites/ [default: the nearest one at or above this folder].",
        ),
    )
    for option in options:
        command = option(command)
    return command
