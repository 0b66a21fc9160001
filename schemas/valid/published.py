"""The rules of an input record in the words of JSON Schema: what `rules` judges, so that a validator elsewhere judges alike."""

import json
import sys
from datetime import UTC, datetime
from typing import Any

from schemas.valid.rules import BLANKS, FIRST_MICROSECOND, EventRules

FORBIDDEN_IN_ID = r"[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
VISIBLE = f"[^{json.dumps(BLANKS)[1:-1]}]"
HALF_A_PAIR = r"[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]"
_LEAP_YEAR = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)"
_DAY = "((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
RFC3339 = (
    f"^([0-9]{{4}}-{_DAY}|{_LEAP_YEAR}-02-29)[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]+)?"
    "([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
MAX_DOUBLE = sys.float_info.max


def refine_input(properties: dict[str, dict[str, Any]], rules: EventRules) -> None:
    """Add to the generated properties of an input record the rules that its types do not carry."""
    properties["timestamp"]["anyOf"] = [
        {
            "type": "integer",
            "minimum": rules.min_timestamp_ms,
            "maximum": FIRST_MICROSECOND - 1,
            "description": "epoch milliseconds; smaller numbers are seconds, larger ones micro- or nanoseconds",
        },
        {
            "type": "string",
            "format": "date-time",
            "pattern": _since(rules),
            "not": {"pattern": "\n"},
            "description": "RFC 3339 with an offset",
        },
    ]
    for schema in properties.values():
        for alternative in [schema, *schema.get("anyOf", ())]:
            if alternative.get("type") == "number":
                alternative.setdefault("minimum", -MAX_DOUBLE)
                alternative["maximum"] = MAX_DOUBLE
    for name in {"module_id", "event_id", "name", "sample_id"} & properties.keys():
        for alternative in [properties[name], *properties[name].get("anyOf", ())]:
            if alternative.get("type") == "string":
                alternative["not"] = {"pattern": HALF_A_PAIR}
    if "module_id" in properties:
        properties["module_id"]["pattern"] = VISIBLE
        properties["module_id"]["not"] = {"pattern": f"{FORBIDDEN_IN_ID}|{HALF_A_PAIR}"}
        (labels,) = (one for one in properties["labels"]["anyOf"] if one["type"] == "object")
        labels["maxProperties"] = rules.max_labels
        whole = {"not": {"pattern": HALF_A_PAIR}}
        labels["propertyNames"] = {"maxLength": rules.max_label_key_chars} | whole
        labels["additionalProperties"] |= {"maxLength": rules.max_label_value_chars} | whole


def _since(rules: EventRules) -> str:
    """The pattern of RFC 3339 from the year of the first time on; the rest of that year's start only the worker compares."""
    year = datetime.fromtimestamp(rules.min_timestamp_ms / 1000, UTC).year
    return RFC3339.replace("^", f"^(?={_years_from(year)})", 1)


def _years_from(year: int) -> str:
    """A pattern of the years from this one to 9999."""
    digits = f"{year:04d}"
    larger = [
        f"{digits[:place]}[{int(digit) + 1}-9]" + "[0-9]" * (3 - place)
        for place, digit in enumerate(digits)
        if digit < "9"
    ]
    return "|".join([digits, *larger])
