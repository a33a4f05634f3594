# Three images from one file:
#   cpu     serves ONNX programs, without torch    docker build --target cpu -t carousel .
#   gpu     serves TorchScript programs on CUDA    docker build --target gpu -t carousel-gpu .
#   export  trains and exports                     docker build --target export -t carousel-export .
# pip's own variables reach the builds as arguments, and so does TORCH_BACKEND, which names a build of
# PyTorch as it does for `make setup` (install_torch.py says how): where nothing is said, export gets
# the CPU build, without CUDA's gigabytes, and gpu the one that pip takes.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS base
ENV PATH=/opt/carousel/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# What pyproject.toml and the client's ask for, as two lists: they change more rarely than the code,
# and so do the layers that install them.
FROM base AS lists
COPY pyproject.toml ./
COPY client client
RUN ["python", "-c", "import tomllib; from pathlib import Path; \
    project = tomllib.loads(Path('pyproject.toml').read_text())['project']; \
    client = tomllib.loads(Path('client/pyproject.toml').read_text())['project']; \
    Path('service.txt').write_text('\\n'.join(project['dependencies'] + client['dependencies'])); \
    Path('torch.txt').write_text('\\n'.join(project['optional-dependencies']['torch']))"]

FROM base AS wheel
ARG PIP_INDEX_URL=
ARG PIP_EXTRA_INDEX_URL=
COPY constraints.txt ./
RUN pip install -c constraints.txt setuptools
COPY pyproject.toml README.md ./
COPY carousel carousel
COPY models models
COPY export export
COPY service service
COPY client client
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . ./client

FROM base AS service-packages
ARG PIP_INDEX_URL=
ARG PIP_EXTRA_INDEX_URL=
RUN python -m venv /opt/carousel
COPY constraints.txt ./
COPY --from=lists /build/service.txt ./
RUN pip install -c constraints.txt -r service.txt

# uv is of use for PyTorch alone, and no image keeps it.
FROM service-packages AS torch-packages
ARG PIP_INDEX_URL=
ARG PIP_EXTRA_INDEX_URL=
ARG TORCH_BACKEND=
COPY install_torch.py ./
COPY --from=lists /build/torch.txt ./
RUN python install_torch.py $TORCH_BACKEND \
    && pip install -c constraints.txt -r torch.txt \
    && pip uninstall --yes uv

FROM service-packages AS cuda-packages
ARG PIP_INDEX_URL=
ARG PIP_EXTRA_INDEX_URL=
ARG TORCH_BACKEND=pip
COPY install_torch.py ./
COPY --from=lists /build/torch.txt ./
RUN python install_torch.py $TORCH_BACKEND \
    && pip install -c constraints.txt -r torch.txt \
    && pip uninstall --yes uv

# What all three images share: a user without rights, and a folder for models.
FROM base AS runtime
RUN groupadd --gid 10001 carousel \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin carousel \
    && install --directory --owner=10001 --group=10001 /models
ENV HOME=/tmp \
    CAROUSEL_MODEL_REPOSITORY=/models
WORKDIR /
VOLUME /models
STOPSIGNAL SIGTERM

FROM runtime AS export
COPY --from=torch-packages /opt/carousel /opt/carousel
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels pip install --no-deps /wheels/*.whl
USER 10001:10001
ENTRYPOINT ["carousel-export"]
CMD ["--help"]

# Listens on all addresses, so it refuses to start without CAROUSEL_API_KEY, unless CAROUSEL_INSECURE=on.
# Sessions are kept in /data, the one place that has to be writable. Mount a volume there by name: one
# without a name is another for each container.
FROM runtime AS serve
RUN install --directory --owner=10001 --group=10001 --mode=0700 /data
ENV CAROUSEL_HOST=0.0.0.0 \
    CAROUSEL_PORT=8000 \
    CAROUSEL_DATA_DIR=/data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 CMD ["python", "-c", \
    "import os, urllib.request as web; \
    web.urlopen('http://127.0.0.1:' + os.environ['CAROUSEL_PORT'] + '/readyz', timeout=2)"]
ENTRYPOINT ["carousel-serve"]

FROM serve AS gpu
COPY --from=cuda-packages /opt/carousel /opt/carousel
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels pip install --no-deps /wheels/*.whl
ENV CAROUSEL_DEVICE=cuda \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001

FROM serve AS cpu
COPY --from=service-packages /opt/carousel /opt/carousel
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels pip install --no-deps /wheels/*.whl
USER 10001:10001
