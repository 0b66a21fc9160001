# modpulse: one image for every command; `run` (the worker) is the default.

# Both bases are of one Debian release: the compiled part is loaded by the C library of the other image.
FROM rust:1.95-slim-bookworm AS native
WORKDIR /src
COPY native native
RUN cargo build --release --locked --offline --manifest-path native/Cargo.toml

FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/modpulse
WORKDIR /src
# The dependencies first: this layer changes only with the lock.
COPY requirements.lock ./
RUN /opt/modpulse/bin/pip install --require-hashes -r requirements.lock
COPY pyproject.toml README.md ./
COPY schemas schemas
COPY pipeline pipeline
COPY --from=native /src/native/target/release/libmodpulse_native.so pipeline/
COPY topology topology
RUN /opt/modpulse/bin/pip install --no-deps --no-build-isolation . \
    && /opt/modpulse/bin/pip uninstall -y pip hatchling editables

FROM python:3.11.14-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /var/lib/modpulse --create-home modpulse
COPY --from=build /opt/modpulse /opt/modpulse
# Only /var/lib/modpulse and /tmp are ever written, so the root file system can be read-only.
# A compiled part that cannot be loaded ends the worker with the reason; without it the worker would be slow in silence.
ENV PATH=/opt/modpulse/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 MODPULSE_NATIVE=require
WORKDIR /var/lib/modpulse
USER 10001
STOPSIGNAL SIGTERM
EXPOSE 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["modpulse", "probe"]
ENTRYPOINT ["modpulse"]
CMD ["run"]
