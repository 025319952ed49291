# One image with `longshore` (the entrypoint), `longshore-worker` and `longshore-scheduler`, and with
# `--target simulator` one with the simulator of providers.
#
#     docker build --tag longshore .
#     docker build --tag longshore --build-arg LONGSHORE_COMMIT="$(git rev-parse --short=12 HEAD)" .
#     docker run --rm longshore --version
#     docker run --rm --entrypoint longshore-worker longshore --help
#
# The first build takes about as long as `make dist`. After a change of the code, dependencies come from the layer of
# `cargo chef cook`, and only Longshore's own crates are compiled. For a release, pin the two base images by digest and
# let buildx add the list of packages: `docker buildx build --sbom=true --provenance=true`.

FROM rust:1.95.0-bookworm AS chef
# rust-toolchain.toml also wants rustfmt and clippy, which rustup would download.
ENV RUSTUP_TOOLCHAIN=1.95.0
RUN cargo install cargo-chef --version 0.1.78 --locked
WORKDIR /src

FROM chef AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM chef AS build
# `make dist` keeps debug information, which triples the size of the programs.
ENV CARGO_PROFILE_DIST_DEBUG=none CARGO_PROFILE_DIST_STRIP=symbols
COPY --from=plan /src/recipe.json recipe.json
RUN cargo chef cook --locked --profile dist --features longshore-worker/jemalloc --recipe-path recipe.json \
    --package longshore --package longshore-worker --package longshore-scheduler --package longshore-simulator
COPY . .
# `--version` names it.
ARG LONGSHORE_COMMIT="image"
ENV LONGSHORE_COMMIT=${LONGSHORE_COMMIT}
RUN cargo build --locked --profile dist --features longshore-worker/jemalloc \
    --package longshore --package longshore-worker --package longshore-scheduler --package longshore-simulator

# The C library, certificates of authorities, time zones, and the user 65532; no shell and no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot AS base
COPY LICENSE /usr/share/doc/longshore/LICENSE
WORKDIR /etc/longshore
USER 65532:65532

FROM base AS simulator
COPY --from=build /src/target/dist/longshore-simulator /usr/local/bin/longshore-simulator
LABEL org.opencontainers.image.title="longshore-simulator" \
      org.opencontainers.image.description="An LLM provider to test against" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
EXPOSE 9100
ENTRYPOINT ["/usr/local/bin/longshore-simulator"]
CMD ["--listen", "0.0.0.0:9100"]

FROM base AS longshore
COPY --from=build /src/target/dist/longshore /usr/local/bin/longshore
COPY --from=build /src/target/dist/longshore-worker /usr/local/bin/longshore-worker
COPY --from=build /src/target/dist/longshore-scheduler /usr/local/bin/longshore-scheduler
ARG LONGSHORE_COMMIT="image"
LABEL org.opencontainers.image.title="longshore" \
      org.opencontainers.image.description="A durable job queue for LLM work" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${LONGSHORE_COMMIT}" \
      org.opencontainers.image.licenses="Apache-2.0"
# What the chart and compose.yaml choose for LONGSHORE_LISTEN.
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/longshore"]
CMD ["--help"]
