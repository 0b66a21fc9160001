"""The variables Kubernetes puts into every container for each Service of the namespace (and Docker for each link).

A Service called `modpulse`, or `modpulse-metrics`, makes names that begin like our settings. They say nothing to us, and a pod
that refused them would not start again once somebody made such a Service.
"""

import re

# The Service's name in capitals, `-` as `_`, then what Kubernetes appends (pkg/kubelet/envvars). A name neither begins nor
# ends with `-`, so `MODPULSE_METRICS__PORT` is no such name but a wrong setting.
_LINK = re.compile(
    r"MODPULSE(?:_+[A-Z0-9]+)*_(?:"
    r"SERVICE_HOST"
    r"|SERVICE_PORT(?:_[A-Z0-9]+(?:_+[A-Z0-9]+)*)?"
    r"|PORT(?:_[0-9]{1,5}_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?"
    r")"
)


def is_service_link(variable: str) -> bool:
    """Whether a variable's name is one that Kubernetes makes for a Service called `modpulse` or `modpulse-...`."""
    return _LINK.fullmatch(variable) is not None
