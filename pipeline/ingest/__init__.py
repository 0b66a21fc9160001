"""From a batch of raw records to columns: decode, validate, know the module, forward, suppress duplicates."""
