"""The shell: settings, clients, tasks and transactions, commands. It decides no window, health or alert.

May touch: everything outside the process; each room says what of it.
In: topics, files, flags. Out: topics, files, HTTP, exit codes.
"""
