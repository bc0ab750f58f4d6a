# syntax=docker/dockerfile:1
# Three images from one file: `--target consumer` (the default), `--target api` and
# `--target simulator`.

FROM python:3.13-slim-trixie AS python
# Log lines and the stacks of a crash leave the container at once.
ENV PYTHONUNBUFFERED=1 PYTHONFAULTHANDLER=1

# The libraries, exactly those of the lock files: wheels only, each checked by its hash. The
# virtual environment has no pip, and so the image that it is copied to has none either.
FROM python AS consumer-libraries
RUN python -m venv --without-pip /venv
COPY requirements/consumer.txt /requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /venv/bin/python install \
        --require-hashes --only-binary=:all: --no-deps -r /requirements/consumer.txt

FROM python AS api-libraries
RUN python -m venv --without-pip /venv
COPY requirements/consumer.txt requirements/producer.txt requirements/api.txt /requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /venv/bin/python install \
        --require-hashes --only-binary=:all: --no-deps -r /requirements/api.txt

FROM python AS simulator-libraries
RUN python -m venv --without-pip /venv
COPY requirements/consumer.txt requirements/producer.txt requirements/simulator.txt /requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /venv/bin/python install \
        --require-hashes --only-binary=:all: --no-deps -r /requirements/simulator.txt

# The code is compiled here, because its folder is read-only where it runs.
FROM python AS consumer-code
WORKDIR /app
COPY schema.sql ./
COPY schema ./schema
COPY telemetry ./telemetry
COPY runtime ./runtime
COPY consumer ./consumer
RUN python -m compileall -q .

FROM python AS api-code
WORKDIR /app
COPY telemetry ./telemetry
COPY runtime ./runtime
COPY api ./api
RUN python -m compileall -q .

FROM python AS simulator-code
WORKDIR /app
COPY telemetry ./telemetry
COPY runtime ./runtime
COPY producer_sim ./producer_sim
RUN python -m compileall -q .

FROM python AS simulator
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app
COPY --from=simulator-libraries /venv /venv
COPY --from=simulator-code /app /app
# Ledgers are written to the working folder: mount a volume here to keep them.
RUN install -d -o 10001 -g 10001 /var/lib/wattline
WORKDIR /var/lib/wattline
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK NONE
ENTRYPOINT ["python", "-m", "producer_sim"]
CMD ["run"]

FROM python AS api
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app
# An API that listens on more than the loopback address does not start without API_KEYS.
ENV HTTP_HOST=0.0.0.0 HTTP_PORT=8000
COPY --from=api-libraries /venv /venv
COPY --from=api-code /app /app
WORKDIR /app
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as web; web.urlopen('http://127.0.0.1:' + os.environ['HTTP_PORT'] + '/health/live', timeout=4)"]
ENTRYPOINT ["python", "-m", "api"]
CMD ["run"]

FROM python AS consumer
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app
# On the loopback address, health and metrics could be read only inside the container.
ENV HTTP_HOST=0.0.0.0 HTTP_PORT=8080
COPY --from=consumer-libraries /venv /venv
COPY --from=consumer-code /app /app
WORKDIR /app
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
# Live, not ready: a replica that waits for its database must not be restarted for that.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as web; web.urlopen('http://127.0.0.1:' + os.environ['HTTP_PORT'] + '/health/live', timeout=4)"]
ENTRYPOINT ["python", "-m", "consumer"]
CMD ["run"]
