"""Corpora: synthetic talking portraits (speech engines, sentences, visemes, faces) and their preparation for the trainer."""
