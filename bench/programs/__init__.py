"""The worker and its limits, each as a program of its own that reports its progress (bench/report/progress.py)."""
