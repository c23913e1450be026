# The service in a container. Data, and the key that opens it, are in /data: keep that volume, and a copy of the key.
#
#   docker build -t stsgate .
#   docker run -p 8321:8321 -v stsgate-data:/data -e STSGATE_SERVICE_INSECURE=true --stop-timeout 90 stsgate
#
# The API leaves this machine, so it wants TLS (STSGATE_SERVICE_TLS_CERTIFICATE, STSGATE_SERVICE_TLS_KEY), or, behind
# something that does TLS, STSGATE_SERVICE_INSECURE=true. docs/configuration.md lists all settings.

FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /source
RUN python -m venv /opt/stsgate
COPY requirements/run.lock requirements/run.lock
RUN /opt/stsgate/bin/pip install --require-hashes -r requirements/run.lock
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY cosem_objects cosem_objects
COPY transports transports
COPY gateway gateway
COPY sim_meters sim_meters
RUN /opt/stsgate/bin/pip install --no-deps --no-build-isolation . \
    && /opt/stsgate/bin/pip uninstall --yes hatchling editables pathspec pluggy trove-classifiers packaging setuptools pip

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin stsgate \
    && install --directory --mode 0700 --owner stsgate --group stsgate /data
COPY --from=build /opt/stsgate /opt/stsgate
ENV PATH=/opt/stsgate/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    STSGATE_SERVICE_DATA_DIR=/data \
    STSGATE_SERVICE_HTTP=0.0.0.0:8321
USER stsgate
WORKDIR /data
VOLUME /data
EXPOSE 8321
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["python", "-c", "import os, ssl, urllib.request; s = 's' if os.environ.get('STSGATE_SERVICE_TLS_CERTIFICATE') else ''; urllib.request.urlopen(f'http{s}://127.0.0.1:8321/healthz', timeout=5, context=ssl._create_unverified_context())"]
ENTRYPOINT ["stsgate"]
CMD ["serve"]
