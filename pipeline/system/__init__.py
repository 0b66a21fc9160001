"""The second stage: one mergeable partial per partition and window becomes the aggregate of the whole system."""
