# coral_classify in a container, for 64-bit ARM boards and for PCs.
#
# Not tried yet: no builder was at hand when this was written.
#
#     docker build -t coral-classify .
#     docker run --rm coral-classify                                       # classifies the example
#     docker run --rm -v "$PWD:/pictures:ro" coral-classify coral-classify /pictures/photo.jpg
#
# With an accelerator, give the container its device file (docs/devices.md, "Containers"):
#
#     docker run --rm --device /dev/bus/usb --device-cgroup-rule 'c 189:* rwm' coral-classify coral-classify devices
#     docker run --rm --device /dev/apex_0 --group-add "$(stat -c %g /dev/apex_0)" coral-classify coral-classify devices
#
# The driver, libedgetpu, is in no public Debian archive but Coral's. Build on a base that has it, or bring its .deb:
#
#     docker build --build-arg BASE=my-image-with-libedgetpu -t coral-classify .
#
# For another kind of machine than the one that builds: docker buildx build --platform linux/arm64 …
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
WORKDIR /source
COPY . .
RUN python3 -m venv /opt/coral \
    && /opt/coral/bin/python -m pip install --no-cache-dir .

FROM ${BASE}
LABEL org.opencontainers.image.title="coral_classify" \
      org.opencontainers.image.licenses="Apache-2.0"

# libusb is what the driver of a USB Accelerator needs; the driver itself comes with the base image, or not at all.
# Which version of it there is, the base image decides.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libusb-1.0-0 \
    && rm -rf /var/lib/apt/lists/*

COPY --from=build /opt/coral /opt/coral
COPY examples /opt/coral/examples
ENV PATH=/opt/coral/bin:$PATH \
    CORAL_CLASSIFY_HOME=/home/coral/cache

# An ordinary user. plugdev is the group that Debian's udev rules give USB devices to; a volume for pulled models
# would be mounted at CORAL_CLASSIFY_HOME.
RUN (getent group plugdev || groupadd --system plugdev) \
    && useradd --uid 10001 --create-home --groups plugdev coral \
    && mkdir /home/coral/cache \
    && chown coral: /home/coral/cache
USER 10001
WORKDIR /home/coral

HEALTHCHECK --interval=5m --timeout=60s CMD ["coral-classify", "doctor", "--device", "cpu"]
CMD ["coral-classify", "/opt/coral/examples/astronaut.png"]
