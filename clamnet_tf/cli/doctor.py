"""Define `clamnet-tf doctor`: what this machine offers, what is missing and how to get it."""

import dataclasses
import json
import textwrap

import rich_click as click

MARKS = {"ok": ("ok", "green"), "missing": ("--", "yellow"), "broken": ("!!", "red")}
WIDTH = 80


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@click.pass_context
def doctor(context, as_json):
    """Check this machine: versions, devices, codecs, memory, disk and optional parts.

    The exit code is 1 when something is broken that clamnet-tf needs.
    """
    findings = examine()
    broken = [finding for finding in findings if finding.state == "broken"]
    if as_json:
        click.echo(
            json.dumps(
                {"healthy": not broken, "findings": [dataclasses.asdict(finding) for finding in findings]},
                indent=2,
            )
        )
    else:
        show(findings)
    context.exit(1 if broken else 0)


def examine():
    """Return all findings, in reading order."""
    from clamnet_tf.diagnostics import decoders, devices, hardware, packages
    from clamnet_tf.diagnostics.finding import Finding

    findings = [*packages.examine_program(), *packages.examine_packages(), *devices.examine_devices()]
    findings += [*hardware.examine_hardware(), *decoders.examine_decoders()]
    try:
        from clamnet_tf.preprocessing.cache import default_cache
    except ImportError as error:
        findings.append(
            Finding(
                "Packages",
                "imports",
                "broken",
                str(error),
                "python -m pip install --force-reinstall clamnet-tf",
            )
        )
    else:
        findings += hardware.examine_disk(default_cache())
    return [*findings, *packages.examine_extras(), *hardware.examine_browser()]


def show(findings) -> None:
    """Print the findings by section, wrapped to 80 columns, then a verdict."""
    for section in dict.fromkeys(finding.section for finding in findings):
        click.secho(section, bold=True)
        rows = [finding for finding in findings if finding.section == section]
        if section == "Packages":  # two dozen names: the working ones in one paragraph
            working = ", ".join(
                f"{finding.name} {finding.value}" for finding in rows if finding.state == "ok"
            )
            rows = [finding for finding in rows if finding.state != "ok"]
            if working:
                _row("ok", "", working)
        for finding in rows:
            _row(finding.state, finding.name, finding.value)
            if finding.advice:
                _row(None, "", f"-> {finding.advice}")
    count = {state: sum(finding.state == state for finding in findings) for state in MARKS}
    click.echo()
    if count["broken"]:
        click.secho(
            f"{count['broken']} broken: clamnet-tf cannot work until that is repaired (!!).", fg="red"
        )
    elif count["missing"]:
        click.secho(f"clamnet-tf works here; {count['missing']} optional parts are missing (--).", fg="green")
    else:
        click.secho("clamnet-tf works here, nothing is missing.", fg="green")


def _row(state, name, value) -> None:
    """Print one finding, wrapped to 80 columns."""
    mark, colour = MARKS.get(state, ("  ", None))
    head = f"{name:<14}" if name or state is None else ""
    indent = " " * (5 + len(head))
    lines = textwrap.wrap(value, WIDTH - len(indent), break_on_hyphens=False, break_long_words=False) or [""]
    click.echo(f"  {click.style(mark, fg=colour)} {head}{lines[0]}")
    for line in lines[1:]:
        click.echo(indent + line)
