# The command eventstore, for logs on SQLite and PostgreSQL, woken by files, PostgreSQL or Redis.
FROM python:3.11-slim

RUN useradd --system --uid 10001 --create-home ruletide \
    && install --directory --owner ruletide /live

COPY pyproject.toml README.md LICENSE /tmp/source/
COPY eventstore /tmp/source/eventstore
COPY projections /tmp/source/projections
RUN pip install --no-cache-dir '/tmp/source[postgres,redis]' && rm -r /tmp/source

USER ruletide
WORKDIR /home/ruletide
ENTRYPOINT ["eventstore"]
CMD ["--help"]
