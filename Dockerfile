# Three images from one file: `--target consumer` (the default), `--target api` and
# `--target simulator`. Any builder makes them: BuildKit, or the classic one of an old engine.
# `make image` builds them all, runs each, and writes down what is in it.

# Another base must have Python 3.13 as `python`, with pip, and a glibc.
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS python
# Log lines and the stacks of a crash leave the container at once.
ENV PYTHONUNBUFFERED=1 PYTHONFAULTHANDLER=1

# The libraries, exactly those of the lock files: wheels only, each checked by its hash. The
# virtual environment has no pip, and so the image that it is copied to has none of its own.
FROM python AS consumer-libraries
ENV PIP_PYTHON=/venv/bin/python PIP_REQUIRE_HASHES=1 PIP_ONLY_BINARY=:all: PIP_NO_DEPS=1 \
    PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /venv
COPY requirements/consumer.txt requirements/producer.txt requirements/api.txt requirements/simulator.txt /requirements/
RUN pip install -r /requirements/consumer.txt

# The lock files are layers: each of these begins with the consumer's.
FROM consumer-libraries AS api-libraries
RUN pip install -r /requirements/api.txt

FROM consumer-libraries AS simulator-libraries
RUN pip install -r /requirements/simulator.txt

# The code is compiled here, because its folder is read-only where it runs.
FROM python AS code
WORKDIR /app
COPY telemetry ./telemetry
COPY runtime ./runtime
COPY energy ./energy
COPY schema.sql ./
COPY schema ./schema
COPY consumer ./consumer
COPY api ./api
COPY producer_sim ./producer_sim
RUN python -m compileall -q .

# What the three have in common. Each adds its libraries and its own code only.
FROM python AS program
LABEL org.opencontainers.image.vendor="Wattline" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app
COPY --from=code /app/telemetry /app/telemetry
COPY --from=code /app/runtime /app/runtime
WORKDIR /app
USER 10001:10001
STOPSIGNAL SIGTERM

FROM program AS simulator
LABEL org.opencontainers.image.title="wattline-simulator" \
      org.opencontainers.image.description="Sends readings of simulated meters and vehicles, and checks what became of them"
COPY --from=simulator-libraries /venv /venv
COPY --from=code /app/producer_sim /app/producer_sim
# It has no health check, not even NONE: `docker compose up --wait` takes that for a fault.
# Ledgers are written to the working folder: mount a volume here to keep them.
USER root
RUN install -d -o 10001 -g 10001 /var/lib/wattline
USER 10001:10001
WORKDIR /var/lib/wattline
ENTRYPOINT ["python", "-m", "producer_sim"]
CMD ["run"]

# On the loopback address, an API, health and metrics could be reached only inside the container.
FROM program AS server
ENV HTTP_HOST=0.0.0.0
# Live, not ready: a process that waits for its database must not be restarted for that. A socket
# and not urllib, whose import alone takes seconds on a busy machine.
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "-I", "-S", "-c", "import os, socket; s = socket.create_connection(('127.0.0.1', int(os.environ['HTTP_PORT'])), 9); s.sendall(b'GET /health/live HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n'); assert s.recv(15).split()[1] == b'200'"]

FROM server AS api
LABEL org.opencontainers.image.title="wattline-api" \
      org.opencontainers.image.description="Takes readings over HTTP, and answers how efficiently each vehicle was charged"
# An API that listens on more than the loopback address does not start without API_KEYS.
ENV HTTP_PORT=8000
EXPOSE 8000
COPY --from=api-libraries /venv /venv
COPY --from=code /app/energy /app/energy
COPY --from=code /app/api /app/api
ENTRYPOINT ["python", "-m", "api"]
CMD ["run"]

FROM server AS consumer
LABEL org.opencontainers.image.title="wattline-consumer" \
      org.opencontainers.image.description="Puts the readings of meters and vehicles from Kafka into PostgreSQL, each exactly once"
ENV HTTP_PORT=8080
EXPOSE 8080
COPY --from=consumer-libraries /venv /venv
COPY --from=code /app/energy /app/energy
COPY --from=code /app/schema.sql /app/schema.sql
COPY --from=code /app/schema /app/schema
COPY --from=code /app/consumer /app/consumer
ENTRYPOINT ["python", "-m", "consumer"]
CMD ["run"]
