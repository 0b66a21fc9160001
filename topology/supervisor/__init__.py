"""`modpulse run --workers N`: a process that starts N ordinary workers, keeps them running and speaks for them (docs/adr/0031).

It reads no event and holds no state. `cores` says how many workers fit, `command` how one is started, `child` is one of them,
`log_relay` passes its log on, `scrape` asks its probes, `pages` puts the answers together, `server` serves them, and
`supervisor` decides who is started again and when all end.
"""
