"""`modpulse run --workers N`: a process that starts N ordinary workers, keeps them running and speaks for them (docs/adr/0031).

May touch: processes, sockets of its children; it reads no event and holds no state.
In: a command line, the children's logs and probes. Out: one log, one set of probes, an exit code.

`cores` says how many workers fit, `command` how one is started, `child` is one of them, `log_relay` passes its log on,
`scrape` asks its probes, `pages` puts the answers together, `server` serves them, and `supervisor` decides who is
started again and when all end.
"""
