"""Training as data: stages in a JSON file, the task table of `tasks`, latents cached once, exact resuming.

`python -m unitalking_core.training CONFIG` learns the codecs, encodes the corpus, trains the stages and ships a checkpoint.
Read: `config`, `corpus`, `latents`, `batches`, `objective`, `trainer`; `codecs` learns the codecs, `samples` shows what was learned.
At full size: `dry_run`, `distributed`, `shards`, `lora`; and docs/training.md.
"""
