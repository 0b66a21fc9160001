"""The shell: settings, topics, the batch transport, tasks and transactions, commands. No window, health or alert rules."""
