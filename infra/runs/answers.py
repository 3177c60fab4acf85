"""Answers to interrupts, where the process has died that was to give them: no answer goes to another question."""

from collections.abc import Collection, Mapping
from typing import Any


def waiting(state: Mapping[str, Any]) -> set[str]:
    """Ids of the interrupts that wait in a thread's state. Of a task that is a graph, those in its own state: its own
    entry tells which one it came to first."""
    found: set[str] = set()
    for task in state.get("tasks") or ():
        inner = task.get("state")
        if isinstance(inner, Mapping):
            found |= waiting(inner)
        else:
            found |= {one["id"] for one in task.get("interrupts") or ()}
    return found


def left(command: Mapping[str, Any], asked: Collection[str], still: Collection[str]) -> Mapping[str, Any] | None:
    """What of a command is still to be told, each answer under the id of its interrupt.

    `asked`: ids that waited when the command was given; `still`: those that wait now. What they do not tell stays as
    it is.
    """
    resume = command.get("resume")
    if isinstance(resume, Mapping) and not set(asked).isdisjoint(resume):
        answers = dict(resume)
    elif resume is not None and len(asked) == 1:
        answers = dict.fromkeys(asked, resume)
    else:
        return command
    answers = {name: value for name, value in answers.items() if name in still}
    rest = {name: value for name, value in command.items() if name != "resume"}
    return (rest | ({"resume": answers} if answers else {})) or None
