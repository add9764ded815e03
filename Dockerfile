FROM python:3.13-slim AS build
# Without pip of its own: nothing in the finished image can install anything.
RUN python -m venv --without-pip /opt/parley
COPY requirements.lock ./
RUN python -m pip --python /opt/parley/bin/python install --no-cache-dir --only-binary :all: --require-hashes -r requirements.lock

FROM python:3.13-slim
# A fixed id, so that the volume's files belong to the same user after every rebuild.
RUN groupadd --gid 10001 parley \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin parley \
 && install --directory --owner=10001 --group=10001 --mode=0700 /data
COPY --from=build /opt/parley /opt/parley
# Copied, not installed: a build would fetch its tools without their hashes.
COPY LICENSE /opt/parley/
COPY pyproject.toml /opt/parley/app/
COPY bot /opt/parley/app/bot
ENV PATH=/opt/parley/bin:$PATH \
    PYTHONPATH=/opt/parley/app \
    PYTHONUNBUFFERED=1 \
    PYTHONSAFEPATH=1 \
    DATABASE_PATH=/data/parley.db
USER 10001:10001
WORKDIR /data
VOLUME /data
STOPSIGNAL SIGTERM
# The start includes bringing an old database up to date.
HEALTHCHECK --interval=30s --timeout=15s --start-period=60s --retries=3 CMD ["python", "-m", "bot", "health"]
ENTRYPOINT ["python", "-m", "bot"]
