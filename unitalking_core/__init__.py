"""UniTalking's core: everything that does not need ComfyUI.

Rooms, from the ground up: `timeline`, `tasks`, `flow`, `marking`, `reading`, `memory`; `config`, `media`; `presets`, `latents`,
`transformer/`, `checkpoint/`, `codecs/`, `conditions/`; `parts`, `generate`, `sampling`; `training/`, `data/`; `evaluation/`; `cli`. A room
imports only rooms named before it.

Notation used throughout: B batch, F frames, T video latents, h/w latent height and width, Lv/La video and audio tokens,
C channels, D transformer width, H heads, s the flow's noise level in [0, 1], t = 1000 s.
"""
