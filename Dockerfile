# syntax=docker/dockerfile:1

# Other base images, such as ones pinned by digest, are build arguments.
ARG RUST_IMAGE=docker.io/library/rust:1-slim-bookworm
# Contains only glibc and CA certificates: no shell, no package manager.
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot
# The stage that has the program: `build` compiles it. `prebuilt` takes it from the build context, which is then a
# folder with amd64/savio-relay, arm64/savio-relay or both, one for each platform of the image:
#     docker build --file Dockerfile --build-arg PROGRAM=prebuilt FOLDER
ARG PROGRAM=build

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY . .
# The commit and its date, for `--version` and the metrics, since the build context has no repository:
#     docker build --build-arg BUILD_COMMIT=$(git rev-parse --short=12 HEAD) \
#         --build-arg BUILD_DATE=$(TZ=UTC git show -s --format=%cd --date=format-local:%F HEAD) .
ARG BUILD_COMMIT=
ARG BUILD_DATE=
# The caches keep compiled dependencies between builds. Cargo detects changes by modification time, and a
# checkout of an older commit has older files than the cache: touching the sources forces a rebuild.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    find src mappings migrations relay.schema.json relay.example.toml build.rs Cargo.toml -exec touch {} + \
    && cargo build --profile dist --locked --bin savio-relay \
    && install -D target/dist/savio-relay /out/savio-relay

FROM scratch AS prebuilt
ARG TARGETARCH
COPY --chmod=755 ${TARGETARCH}/savio-relay /out/savio-relay

FROM ${PROGRAM} AS program
# An empty folder, since the runtime image has no shell to make one.
WORKDIR /empty

FROM ${RUNTIME_IMAGE}
LABEL org.opencontainers.image.title="savio-relay" \
      org.opencontainers.image.description="Receives signed webhooks, stores them on disk, and delivers them to Savio" \
      org.opencontainers.image.licenses="MIT"
COPY --from=program /out/savio-relay /usr/local/bin/savio-relay
# A new volume inherits the owner of the directory that it is mounted on.
COPY --from=program --chown=65532:65532 /empty /data

# These variables override the same settings in relay.toml.
ENV SAVIO_RELAY_SERVER__LISTEN=0.0.0.0:8080 \
    SAVIO_RELAY_SERVER__ADMIN_LISTEN=0.0.0.0:8081 \
    SAVIO_RELAY_STORE__URL=sqlite:/data/relay.db
# The relay reads relay.toml and mappings from its working directory: mount your own here.
WORKDIR /etc/savio-relay
USER 65532:65532
VOLUME /data
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
# A failing check prints the reasons, which distinguishes a relay that is not ready from one that is down.
HEALTHCHECK --interval=30s --timeout=15s --start-period=10s --retries=3 \
    CMD ["/usr/local/bin/savio-relay", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/savio-relay"]
CMD ["serve"]
