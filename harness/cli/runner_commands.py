"""The command about what runs on devices: build-runner."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.settings import with_settings


@click.command("build-runner")
@click.option("--abi", "abis", metavar="ABI", multiple=True, help="Such as aarch64-linux-gnu; may be repeated.")
@click.option("--cc", metavar="CC", default="", help="The compiler to use; default: Debian's for the ABI.")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Copy what was built to DIR/ABI.")
@with_settings
def build_runner(abis: tuple[str, ...], cc: str, out: Path | None) -> None:
    """Compile the native runner, for devices without Python. Runs do this by themselves when they need it.

    Without --abi it is built for this machine's processor.
    """
    import platform
    import shutil

    from harness.native import build

    for abi in abis or (build.abi_of(platform.machine(), device="this host"),):
        kit = build.kit(abi, cc=cc)
        folder = kit.folder
        if out is not None:
            folder = out / abi
            folder.mkdir(parents=True, exist_ok=True)
            for name in kit.files:
                shutil.copy(kit.folder / name, folder / name)
        beside = f", with glibc {kit.glibc[0]}.{kit.glibc[1]} beside it" if kit.glibc != (0, 0) else ""
        click.echo(f"{abi}: {folder / build.PROGRAM} ({kit.files[build.PROGRAM][:16]}){beside}")
