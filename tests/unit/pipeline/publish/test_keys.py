"""Record keys: the contract's text, from which each part can be told again."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.publish.keys import module_window, system_window
from tests.support.core.cores import fixed


def test_keys_are_the_texts_of_the_contract() -> None:
    assert module_window("süß", "1m", 1_700_000_040_000) == "süß|1m|1700000040000".encode()
    assert system_window("1d", 0) == b"1d|0"


@fixed(60)
@given(st.text(min_size=1, max_size=8), st.from_regex(r"\A[1-9]\d{0,2}[smhd]\Z"), st.integers(0, 2**62))
def test_the_parts_are_told_from_the_end_whatever_the_id_of_the_module_holds(
    module: str, window: str, start: int
) -> None:
    assert module_window(module, window, start).decode().rsplit("|", 2) == [module, window, str(start)]
