"""How well a checkpoint does on clips it never saw, measured with tools nobody here wrote, always in three columns.

Ceiling: the true clips through the model's codecs. Model: what it makes. Floor: pairs that do not belong together, such as the picture of
one clip with the sound of another.

Rooms, from the ground up: `statistics`, `curves`; `recordings` (a clip on disk); `tools/` (one outside instrument a file, a recording in, a
reading out), `readings` (kept, in parallel); `metrics/` (one a file, readings in, values per clip out); `trials` (which task, or variant of
one); `clips` (what is made with the checkpoint); `evaluate` (all of it, into one JSON file); `command` (its options).

What is shown: `report` (the JSON as a page: `gallery`, `plots`, `figures`, `markup`, `style`), `card` (as a model card's table) and
`published` (other models' figures). Beside them: `syncnet`, `mfcc` (a score with weights that a user has), `heldout`, `ablations`,
`ablation_table`.
"""
