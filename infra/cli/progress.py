"""The progress bar of an ingest, on a terminal; silence elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fiel.infra.corpus.report import OnProgress, Progress


@contextmanager
def progress_bar(*, quiet: bool) -> "Iterator[OnProgress]":
    """A callback that draws how far an ingest has come, on standard error. `quiet`: it draws nothing."""
    from rich.console import Console

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[chunks]}", style="dim"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[current]}", style="dim", markup=False),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("documents", total=None, chunks="", current="")

        def draw(progress: "Progress") -> None:
            bar.update(
                task,
                description="waiting for another ingest" if progress.waiting else "documents",
                completed=progress.done,
                total=progress.seen if progress.walked else None,
                chunks=f"{progress.chunks_done} of {progress.chunks} chunks" if progress.chunks else "",
                current=_short(progress.current),
            )

        yield draw


def _short(name: str, width: int = 40) -> str:
    return name if len(name) <= width else "…" + name[1 - width :]
