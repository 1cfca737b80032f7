"""What is tried on a held-out clip: a row of the table of tasks, or a variant of it that shows what a part of the model is good for.

A2V              as the table has it
A2V-apart        picture and sound do not see each other
A2V-untold       without the text, so that the mouth has the sound alone to go by
A2V-untold-apart both: nothing is left that could tell the mouth when to open
"""

from __future__ import annotations

from dataclasses import dataclass

from ..tasks import APART, TASKS, Condition, Given, Task, Visibility

_APART, _UNTOLD = "-apart", "-untold"


@dataclass(frozen=True)
class Trial:
    """`told`: whether the model gets the text."""

    name: str
    task: Task
    visibility: Visibility
    told: bool = True

    @classmethod
    def of(cls, name: str) -> Trial:
        """Raises ValueError for a name that is no task, a task whose clips have no true one beside them, and a variant without sense."""
        told, apart = name.removesuffix(_APART), name.endswith(_APART)
        base = told.removesuffix(_UNTOLD)
        task = TASKS.get(base)
        if task is None or task.video is Given.PREFIX:
            known = [task.name for task in TASKS.values() if task.video is not Given.PREFIX]
            raise ValueError(
                f"unknown task '{name}'; there are {', '.join(known)}; "
                f"A2V and TV2A also followed by {_UNTOLD}, all with a picture by {_APART}"
            )
        if apart and task.video is Given.ABSENT:
            raise ValueError(f"unknown task '{name}': {base} has no picture that the sound could be kept apart from")
        if base != told and Given.ALL not in (task.video, task.audio):
            raise ValueError(f"unknown task '{name}': {base} has nothing but the text to tell what is said; {_UNTOLD} is for A2V and TV2A")
        return cls(name, task, APART if apart else task.visibility, base == told)

    def about(self) -> str:
        """What is given and what is made, in words."""
        task = self.task
        streams = (("picture", task.video), ("sound", task.audio))
        given = [
            condition.value for condition in Condition if condition in task.conditions and (self.told or condition is not Condition.TEXT)
        ]
        given += [f"{condition.value} where there is one" for condition in Condition if condition in task.optional]
        given += [stream for stream, part in streams if part is Given.ALL]
        made = [stream for stream, part in streams if part not in (Given.ALL, Given.ABSENT)]
        kept = "; picture and sound do not see each other" if self.visibility == APART else ""
        return f"given {', '.join(given)}; made {' and '.join(made)}{kept}"
