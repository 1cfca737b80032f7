# The commands of this repository; `make` alone lists them. Everything they make lives in .host/ (delete it to start over).

PYTHON ?= python3

.DEFAULT_GOAL := help
.PHONY: help demo serve test lint check

help:  ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'
	@echo
	@echo '  COMFYUI_DIR=/path/to/ComfyUI uses a ComfyUI that is already here (it is only read); PYTHON= names another Python.'

demo:  ## a talking clip from nothing: [TEXT= PORTRAIT= VOICE= OUT= SEED=] [WORKFLOW=other-api-format.json]
	@$(PYTHON) -m scripts.demo

serve:  ## ComfyUI with the pack in it, open for play: [PORT=] [ARGS=arguments of ComfyUI]
	@$(PYTHON) -m scripts.serve

test:  ## all tests, with a real server and a real browser: [ARGS=arguments of pytest]
	@$(PYTHON) -m scripts.test

lint:  ## style and types: ruff check, ruff format and mypy
	@$(PYTHON) -m scripts.test lint

check:  ## what others look for in a node pack: comfy-cli and comfy-test, each in an environment of its own
	@$(PYTHON) -m scripts.checkers
