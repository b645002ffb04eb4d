# The command eventstore, for logs on SQLite and PostgreSQL, woken by files, PostgreSQL or Redis.
FROM python:3.11-slim

RUN groupadd --system --gid 10001 ruletide \
    && useradd --system --uid 10001 --gid 10001 --create-home ruletide \
    && install --directory --owner 10001 --group 10001 /live

COPY pyproject.toml README.md LICENSE /tmp/source/
COPY eventstore /tmp/source/eventstore
COPY projections /tmp/source/projections
RUN pip install --no-cache-dir '/tmp/source[postgres,redis,server,metrics]' && rm -r /tmp/source

# By number, so that an orchestrator sees that it is not root.
USER 10001:10001
WORKDIR /home/ruletide
ENTRYPOINT ["eventstore"]
CMD ["--help"]
