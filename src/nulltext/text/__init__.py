"""Prompts as words and tokens. Pure Python; knows no tokenizer."""
