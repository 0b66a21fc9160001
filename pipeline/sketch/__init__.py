"""DDSketch arithmetic on numpy columns: mapping, cells, quantiles and the wire format.

May touch: arrays only.
In: response times, bins and counts. Out: cells, percentiles within 1 %, bytes.
"""
