"""Says what was measured: progress, verdicts, tables, charts."""
