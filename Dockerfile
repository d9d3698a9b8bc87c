# One image for every service: the command says which (`all`, `ingest`, `loader`, `query`, `admin`, `migrate`, ...).
FROM node:24-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
# The image brings Node and every native part is prebuilt, so no package needs its install script.
RUN npm ci --omit=dev --ignore-scripts && npm cache clean --force

FROM node:24-slim
ENV NODE_ENV=production TRIBUTARY_HOST=0.0.0.0 TRIBUTARY_PORT=8080 TRIBUTARY_DATA_DIR=/data
WORKDIR /app
RUN mkdir /data && chown node:node /data
COPY --from=packages /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY bin ./bin
COPY schemas ./schemas
COPY services ./services
USER node
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.TRIBUTARY_PORT}/readyz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
STOPSIGNAL SIGTERM
# Buffers count against the old space; one that begins small is collected whole again and again when many events pass.
# It is no setting that NODE_OPTIONS takes.
ENTRYPOINT ["node", "--initial-old-space-size=128", "bin/tributary.mjs"]
CMD ["all"]
