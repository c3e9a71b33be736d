# The daemon in an image: dependencies by hash, no pip, no compiler, no root. docs/deploy.md says how
# it is run.
FROM docker.io/library/python:3.12-slim AS build
WORKDIR /src
COPY requirements/build.txt requirements/run.txt requirements/
RUN python3 -m venv /build \
    && /build/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt \
    && python3 -m venv --without-pip /opt/offerd \
    && /build/bin/pip --python /opt/offerd/bin/python install \
        --no-cache-dir --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY scheduler/ scheduler/
RUN /build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir dist . \
    && /build/bin/pip --python /opt/offerd/bin/python install --no-cache-dir --no-deps dist/*.whl

FROM docker.io/library/python:3.12-slim
LABEL org.opencontainers.image.title="offerd" \
      org.opencontainers.image.description="A highly available Apache Mesos framework scheduler" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 65532 offerd \
    && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /var/lib/offerd \
        --shell /usr/sbin/nologin offerd \
    && install --directory --owner=65532 --group=65532 --mode=0700 /var/lib/offerd
COPY --from=build /opt/offerd /opt/offerd
ENV PATH=/opt/offerd/bin:$PATH \
    PYTHONUNBUFFERED=1
WORKDIR /var/lib/offerd
VOLUME /var/lib/offerd
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
# Where the daemon does not listen on port 8080, OFFERD_SERVER says where; the daemon passes it over.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(os.environ.get('OFFERD_SERVER', 'http://127.0.0.1:8080') + '/healthz', timeout=4)"]
ENTRYPOINT ["offerd"]
CMD ["run", "-c", "/etc/offerd/offerd.yaml"]
