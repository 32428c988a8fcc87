"""`edgeward evidence` makes a signed bundle of a campaign, `edgeward verify` checks one."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.result_commands import campaign_of
from harness.cli.settings import Settings, with_settings
from harness.errors import HarnessError

#: Exit codes of `verify`: something is not as it should be; all is, but nobody vouches for it.
DIFFERS, UNVOUCHED = 1, 3


@click.command()
@click.argument("campaign", metavar="CAMPAIGN")
@click.option("--out", metavar="FILE", required=True, type=click.Path(path_type=Path), help="The ZIP file to write.")
@click.option("--key", metavar="FILE", type=click.Path(path_type=Path), help="SSH key to sign with.")
@click.option("--unsigned", is_flag=True, help="Write it without a signature: nobody can see who made it.")
@with_settings
@click.pass_obj
def evidence(settings: Settings, campaign: str, out: Path, key: Path | None, unsigned: bool) -> None:
    """Write all of CAMPAIGN (the beginning of its id) to one signed file that anybody can check with `verify`.

    It holds the report, raw samples, outputs, labels, judgements, digests, drafts of documents, and no image. A
    campaign whose stored numbers do not follow from its samples is refused.
    """
    from harness.evidence import made, sign
    from harness.evidence.bundle import zipped
    from harness.evidence.drafts import EXTRA, LIBRARIES
    from harness.page.publish import write

    if (key is None) == (not unsigned):
        text = "the two contradict each other: --key and --unsigned" if unsigned else "nobody is said to sign it"
        raise HarnessError(text, remedy="name your SSH key with --key FILE, or say --unsigned")
    store = settings.open_store()
    files, manifest = made(store, campaign_of(store, campaign))
    signature = sign(manifest, key) if key is not None else None
    write(out, zipped(files, manifest, signature), remedy="check --out")
    for name, library in LIBRARIES.items():
        if name not in files:
            click.echo(f"left out: {name}, which needs {library}: {EXTRA}", err=True)
    click.echo(f"evidence: {out} ({'signed' if signature else 'UNSIGNED'}, {len(files)} files)")


@click.command()
@click.argument("file", metavar="FILE.zip", type=click.Path(path_type=Path))
@click.option("--signers", metavar="FILE", type=click.Path(path_type=Path), help="OpenSSH's file of allowed signers.")
@with_settings
def verify(file: Path, signers: Path | None) -> None:
    """Check the signature of FILE.zip and compute every number in it again; no lab, store or network is needed.

    Exit code 0: all is right and an allowed signer vouches for it. 1: something differs. 2: it is no bundle. 3: all is
    right, but nobody vouches for it.
    """
    from harness.evidence import verified
    from harness.units import counted

    found = verified(file, signers)
    for text in found.differing:
        click.echo(f"DIFFERS  {text}")
    for text in found.open:
        click.echo(f"open     {text}")
    said = found.signature.text if found.signature else "there is no signature: nobody says who made this"
    click.echo(f"signature: {said}")
    click.echo(
        f"computed again: {counted(found.checked, 'number')}, verdict or judgement; "
        f"made again: {counted(found.files, 'file')}; as the device gave them: samples, outputs, conditions, validity"
    )
    if found.differing:
        click.echo(f"{file}: NOT SOUND, {counted(len(found.differing), 'difference')}")
        raise click.exceptions.Exit(DIFFERS)
    vouched = "" if found.vouched else ", but nobody vouches for it"
    click.echo(f"{file}: whatever can be computed again is as it is stored{vouched}")
    if not found.vouched:
        raise click.exceptions.Exit(UNVOUCHED)
