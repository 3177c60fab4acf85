"""The group `fiel`: which commands there are, where they live, and how their errors end."""

import importlib
import os
import sys
from importlib import metadata
from typing import Any

import click

from fiel.infra.cli.output import report, report_crash, report_interrupt, report_usage
from fiel.tools.errors import FielError

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("serve", "Start everything, ingest fiel's own documentation, ask it one question."),
    "up": ("serve", "Run PostgreSQL, MLflow and the API until interrupted."),
    "serve": ("service", "Serve the API alone, until interrupted."),
    "worker": ("worker", "Work on runs, without an API, until interrupted."),
    "ingest": ("corpus", "Sync files and folders into a collection."),
    "search": ("corpus", "Search a collection with the caller's rights."),
    "ask": ("ask", "Answer a question from a collection, or say that it cannot be answered."),
    "trace": ("trace", "Show the hops of a run as a tree."),
    "replay": ("replay", "Replay a run from its record and compare it, hop by hop."),
    "audit": ("audit", "Verify, export and show what the ledger has."),
    "lineage": ("lineage", "From a document to the answers that used it, and from a sentence back."),
    "erase": ("erase", "Erase a person: their keys, their rows, their traces."),
    "retention": ("erase", "Let the contents of old runs go, by age and collection."),
    "key": ("key", "Rotate the master key of the ledger."),
    "policy": ("policy", "List, show, compare and try policy bundles; check a text against one."),
    "grant": ("access", "Let a group or a user read a collection or a document."),
    "revoke": ("access", "End a grant."),
    "access": ("access", "Explain who may read a document."),
    "user": ("people", "Keep users and their roles."),
    "group": ("people", "Keep groups and who is in them."),
    "token": ("token", "Make, list, revoke and rotate the bearer tokens of the service."),
    "settings": ("configuration", "List every setting: value, default, meaning."),
    "db": ("database", "Migrate the schema; show its status."),
}
"""Command to the module that holds it, and its line in `fiel --help`, which loads none of them."""

KEPT = {
    "demo": "Documents and vectors that were written stay; `fiel demo` goes on from there",
    "ingest": "Documents and vectors that were written stay; the same command goes on from there",
    "erase": "The keys that were destroyed stay so; the same command goes on from there, or a service that runs",
    "retention": "The keys that were destroyed stay so; the same command goes on from there",
    "key": "Every data key can be read; the same command goes on from there",
    "ask": "Nothing of an unfinished answer is kept; ask again",
    "db": "A migration that was not complete is rolled back; the same command goes on from there",
}
"""What an interrupt leaves, for the commands that write."""


class Commands(click.Group):
    """Loads a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"fiel.infra.cli.{COMMANDS[cmd_name][0]}")
        command = getattr(module, cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)  # noqa: S101 - the table above is wrong otherwise
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, meaning) for name, (_, meaning) in COMMANDS.items()])


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"fiel {metadata.version('fiel')}")
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def fiel() -> None:
    """Answers questions from your own documents, or says that it cannot, and can prove why.

    Every command takes --json: one JSON value on standard output, logs on standard error. Exit status: 0 done,
    1 the answer is no, 2 usage, 3 a service is unavailable.
    """


def run(arguments: list[str]) -> int:
    """Run one command line; returns its exit status. No foreseeable error leaves as a traceback."""
    as_json = "--json" in arguments or "--lines" in arguments
    try:
        result: Any = fiel.main(args=arguments, prog_name="fiel", standalone_mode=False)
        sys.stdout.flush()
        return int(result or 0)
    except FielError as error:
        return report(error, as_json=as_json)
    except click.ClickException as error:
        return report_usage(error, as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        return report_interrupt(KEPT.get(next(iter(arguments), ""), ""), as_json=as_json)
    except BrokenPipeError:
        # Whoever read us has gone (`fiel … | head`): nothing more can be said, not even at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except Exception as error:  # the edge: a fault of fiel's own, never mistaken for the answer no
        return report_crash(error, as_json=as_json)
