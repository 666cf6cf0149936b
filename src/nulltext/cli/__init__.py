"""The command line, one file a command.

Nothing heavy is imported when a command is defined; each imports what it needs when it runs, so that `--help` is
immediate.
"""
