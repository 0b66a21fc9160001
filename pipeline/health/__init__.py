"""Health of a module in a window: named contributions to a score, a class, its reasons and its hysteresis."""
