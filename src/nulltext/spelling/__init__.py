"""One spelling of settings: a frozen dataclass to and from command-line options, Python code and JSON records."""
