"""`python -m nulltext` is `nulltext`."""

from nulltext.cli.app import main

main()
