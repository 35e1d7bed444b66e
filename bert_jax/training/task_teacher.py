"""The teacher of a fine-tuning: a model fine-tuned for the same task, read and checked."""

from etils import epath

from bert_jax.errors import UserError
from bert_jax.objectives.task import TaskObjective
from bert_jax.objectives.tasks import OBJECTIVES
from bert_jax.tasks.task import Task
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.training.teacher import Teacher
from bert_jax.workdir import fine_tuned

# Of a task's settings those that say what its outputs mean; thresholds and lengths may differ.
MEANING = ("labels", "mean", "sd")


def read_task_teacher(path: str, task: Task, tokenizer: Tokenizer, max_length: int) -> Teacher:
    """The fine-tuned model at `path`, for a student of this task and vocabulary, on rows of so many tokens at most.

    Raises:
      UserError: there is none, it is damaged, or it does not go with the student.
    """
    flag = f"--config.teacher={path}"
    if not fine_tuned.is_fine_tuned(path):
        raise UserError(f"{flag} holds no fine-tuned model; give the --workdir of `python -m bert_jax.finetune`")
    if OBJECTIVES[task.loss].divergences is TaskObjective.divergences:
        raise UserError(f"{flag}: there is no teacher for --task={task.kind}; leave it out")
    model = fine_tuned.read_description(path)
    if model.kind != task.kind:
        raise UserError(f"{flag} was fine-tuned with --task={model.kind}, not {task.kind}; give one of the same task")
    _check_meaning(flag, model, task)
    if model.vocab_fingerprint != tokenizer.fingerprint:
        raise UserError(f"{flag} has another vocabulary than --init_from; give a teacher or a student with the same")
    most = model.model.max_position_embeddings
    if most < max_length:
        raise UserError(f"{flag} reads at most {most} tokens; give --config.text.max_length={most}")
    arrays = fine_tuned.read_weights(epath.Path(path) / fine_tuned.WEIGHTS, model.weights_crc32c)
    return Teacher(path, arrays, model.model)


def _check_meaning(flag: str, model: fine_tuned.FineTuned, task: Task) -> None:
    """Raise UserError if the teacher's outputs are of other labels, or on another scale."""
    ours = task.settings()
    for name in MEANING:
        theirs, mine = model.settings.get(name), ours.get(name)
        theirs, mine = (list(value) if isinstance(value, list | tuple) else value for value in (theirs, mine))
        if theirs != mine:
            raise UserError(
                f"{flag} was fine-tuned with {name} {theirs}, and --train has {mine}; give the file it learned from"
            )
