"""Kubernetes' service links never keep a worker from starting, and no setting is taken for one."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ConfigError
from tests.support.core.cores import fixed
from topology.settings import environment_names, load_settings
from topology.settings.service_links import is_service_link

_ALNUM = string.ascii_lowercase + string.digits
# A DNS label: what a Service or a port may be called.
labels = st.builds(
    "".join,
    st.tuples(st.sampled_from(string.ascii_lowercase), st.text(_ALNUM + "-", max_size=13), st.sampled_from(_ALNUM)),
)
services = st.one_of(st.just("modpulse"), labels.map("modpulse-{}".format), labels.map("modpulse--{}".format))
ports = st.lists(
    st.tuples(st.integers(1, 65_535), st.sampled_from(["TCP", "UDP", "SCTP"]), labels), min_size=1, max_size=4
)


def links(service: str, found: list[tuple[int, str, str]], address: str) -> dict[str, str]:
    """The variables of one Service, as the kubelet makes them (pkg/kubelet/envvars)."""
    prefix = service.upper().replace("-", "_")
    first, protocol, _ = found[0]
    made = {
        f"{prefix}_SERVICE_HOST": address,
        f"{prefix}_SERVICE_PORT": str(first),
        f"{prefix}_PORT": f"{protocol.lower()}://{address}:{first}",
    }
    for port, protocol, name in found:
        made[f"{prefix}_SERVICE_PORT_{name.upper().replace('-', '_')}"] = str(port)
        link = f"{prefix}_PORT_{port}_{protocol}"
        made |= {
            link: f"{protocol.lower()}://{address}:{port}",
            f"{link}_PROTO": protocol.lower(),
            f"{link}_PORT": str(port),
            f"{link}_ADDR": address,
        }
    return made


@fixed(200)
@given(services, ports, st.sampled_from(["10.96.0.7", "fd00::7"]))
def test_the_links_of_a_service_are_ignored_and_settings_beside_them_count(
    service: str, found: list[tuple[int, str, str]], address: str
) -> None:
    made = links(service, found, address)
    settings = load_settings(environ={**made, "MODPULSE_WINDOWS__GRACE": "3s"})
    assert settings.windows.grace == 3_000
    assert settings.remarks.ignored_variables == tuple(sorted(made))


def test_no_setting_has_the_name_of_a_service_link() -> None:
    assert [name for name in environment_names() if is_service_link(name)] == []
    assert not is_service_link("MODPULSE_CONFIG")


@fixed(300)
@given(st.text(string.ascii_uppercase + "_" + string.digits, max_size=20).map("MODPULSE_{}".format))
def test_any_other_name_is_refused_as_before(name: str) -> None:
    if is_service_link(name) or name in environment_names() or name == "MODPULSE_CONFIG":
        return
    with pytest.raises(ConfigError, match=rf"{name} \(environment\) is no setting"):
        load_settings(environ={name: "1"})


@pytest.mark.parametrize(
    "name",
    [
        "MODPULSE_METRICS__PORT",
        "MODPULSE_PORTS",
        "MODPULSE_PORT_9464",
        "MODPULSE_PORT_9464_HTTP",
        "MODPULSE_PORT_9464_TCP_HOST",
        "MODPULSE_SERVICE",
        "MODPULSE_SERVICE_HOSTS",
        "MODPULSE_SERVICE_PORT_",
        "MODPULSE_KAFKA__BOOTSTRAP_SERVER",
        "MODPULSE__PORT",
        "MODPULSE_port",
    ],
)
def test_names_that_only_resemble_a_service_link_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is no setting"):
        load_settings(environ={name: "1"})
