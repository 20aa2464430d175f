# syntax=docker/dockerfile:1
#
# clamnet-tf in a container. See docs/how-to/docker.md.
#
#   docker build -t clamnet-tf .                                  CPU
#   docker build -t clamnet-tf:cuda --build-arg TENSORFLOW=cuda . NVIDIA GPU
#   docker build --target check .                                 runs the main job of README.md in the image
ARG PYTHON=3.12

FROM python:${PYTHON}-slim-bookworm AS wheel
WORKDIR /source
COPY . .
RUN python -m pip install --no-cache-dir "build>=1.2,<2" && python -m build --wheel --outdir /wheels .

FROM python:${PYTHON}-slim-bookworm AS runtime
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# cpu: tensorflow-cpu, half the size; x86_64 only. full: tensorflow as it comes, also for arm64. cuda: with NVIDIA's libraries.
ARG TENSORFLOW=cpu
# More extras of clamnet-tf, separated by commas.
ARG EXTRAS=dicom,itk
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TF_CPP_MIN_LOG_LEVEL=2 \
    CLAMNET_TF_CACHE=/cache \
    MPLCONFIGDIR=/tmp/matplotlib \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
# The ranges of versions stand in setup.cfg, the wheel's and the one read here.
# hadolint ignore=DL3013
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    --mount=type=bind,source=tools/provide-tensorflow,target=/provide-tensorflow \
    --mount=type=bind,source=setup.cfg,target=/setup.cfg \
    wheel=$(echo /wheels/*.whl); \
    case "$TENSORFLOW" in \
      cpu) \
        range=$(sed -n 's/^ *tensorflow\(>=.*\)$/\1/p' /setup.cfg | head -n 1); \
        python -m pip install "tensorflow-cpu${range}"; \
        python -m pip install "$(python /provide-tensorflow /tmp)"; \
        python -m pip install "${wheel}[train${EXTRAS:+,${EXTRAS}}]" ;; \
      full) python -m pip install "${wheel}[train${EXTRAS:+,${EXTRAS}}]" ;; \
      cuda) python -m pip install "${wheel}[train${EXTRAS:+,${EXTRAS}},cuda]" ;; \
      *) echo "TENSORFLOW=$TENSORFLOW: expected cpu, full or cuda" >&2; exit 1 ;; \
    esac; \
    rm -f /tmp/*.whl; \
    python -m pip check
RUN useradd --create-home --uid 1000 clamnet && mkdir /cache /work && chown clamnet /cache /work
USER 1000
WORKDIR /work
VOLUME /cache
ENTRYPOINT ["clamnet-tf"]
CMD ["--help"]

FROM runtime AS check
RUN clamnet-tf doctor && \
    clamnet-tf zoo list && \
    clamnet-tf fit mri_carcinoma --out /tmp/quickstart && \
    test -s /tmp/quickstart/evaluation/report.html

# What `docker build` makes without --target.
FROM runtime AS final
