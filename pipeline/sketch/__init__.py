"""DDSketch arithmetic on numpy columns: mapping, cells, quantiles and the wire format."""
