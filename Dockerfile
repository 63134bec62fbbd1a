# Boresight for Kubernetes: `docker build --tag registry.example/boresight:0.1.0 .`
# With Ray, for `launch kubernetes --engine ray`: `--build-arg EXTRAS=web,postgres,judge,dist`. Without GPUs the image is
# smaller with PyTorch's wheels for processors alone: `--build-arg TORCH_INDEX=` and the address of their index.
FROM python:3.12.12-slim-bookworm AS build
ARG EXTRAS=web,postgres,judge
ARG TORCH_INDEX=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
RUN python -m venv /opt/boresight
COPY pyproject.toml README.md LICENSE ./
COPY src/ src/
COPY examples/ examples/
RUN /opt/boresight/bin/pip install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} ".[$EXTRAS]"

FROM python:3.12.12-slim-bookworm
# Certificates for https to judges and hubs; whatever else a shell or a compiler could do stays out.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/boresight /opt/boresight
ENV PATH=/opt/boresight/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT ["boresight"]
CMD ["--help"]
