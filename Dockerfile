# The program as an image, as `reprovision schedule kubernetes` expects it:
#   docker build -t registry.example/reprovision:0.1.0 .
# Nothing but the program is added to the second base: on a machine without a CA store the public roots that are built in are used.
FROM rust:1-slim-bookworm AS build
WORKDIR /source
COPY . .
RUN cargo install --path . --locked --root /built

FROM debian:bookworm-slim
COPY --from=build /built/bin/reprovision /usr/local/bin/reprovision
USER 10001
# A volume belongs here: the runs and the history are kept below it.
WORKDIR /var/lib/reprovision
ENTRYPOINT ["/usr/local/bin/reprovision"]
