"""One file per command of `modpulse`, each with `register(app)`; a command imports what it needs when it runs.

May touch: the terminal and every room below; work itself is done in other rooms.
In: flags and settings. Out: answers on standard output, the rest on standard error, an exit code.
"""
