# marianne-stream, built from this checkout; see docs/how-to/run-it-in-a-container.md.
FROM python:3.13-slim AS build
COPY setup.cfg pyproject.toml README.md LICENSE /src/
COPY marianne_stream /src/marianne_stream
RUN python -m venv /opt/marianne-stream
RUN /opt/marianne-stream/bin/pip install --no-cache-dir "/src[redis,notify]"

FROM python:3.13-slim
# The user who runs the conductor, and the group of the conductor's socket.
ARG UID=1000
ARG GID=1000
COPY --from=build /opt/marianne-stream /opt/marianne-stream
RUN install --directory --owner=$UID --group=$GID --mode=0700 /var/lib/marianne-stream
# All addresses of the container: which of them others reach, the container's published ports decide.
ENV PATH=/opt/marianne-stream/bin:/usr/local/bin:/usr/bin:/bin \
    MARIANNE_STREAM_HOST=0.0.0.0 \
    MARIANNE_STREAM_DATA_DIR=/var/lib/marianne-stream
USER $UID:$GID
EXPOSE 8765
VOLUME /var/lib/marianne-stream
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s CMD ["marianne-stream", "health"]
ENTRYPOINT ["marianne-stream"]
CMD ["serve"]
