"""One file per command, each with `register(app)`. A command imports what it needs when it runs."""
