"""Training as data: stages in a JSON file, the task table of `tasks`, latents cached once, exact resuming.

`python -m unitalking_core.training CONFIG` does everything a configuration says, in order: codecs, latents, stages, shipped checkpoint.
Read: `config`, `corpus`, `latents`, `batches`, `objective`, `trainer`; `codecs` learns the codecs, `samples` shows what was learned.
"""
