# One image for the three kinds of processes: api, portal, agent. Which of them runs is its command; see
# docker-compose.yml and docs/install.md.
FROM node:24-bookworm-slim AS build
WORKDIR /drvs
# The manifests first: packages are installed again only when these change.
COPY package.json package-lock.json .npmrc ./
COPY apps/api/package.json apps/api/
COPY apps/portal/package.json apps/portal/
COPY apps/node-agent/package.json apps/node-agent/
COPY apps/cli/package.json apps/cli/
COPY libs/client/package.json libs/client/
COPY libs/contracts/package.json libs/contracts/
COPY libs/drvmm-core/package.json libs/drvmm-core/
COPY libs/dvos/package.json libs/dvos/
COPY libs/policy/package.json libs/policy/
RUN npm ci --ignore-scripts
COPY . .
RUN node scripts/build.mjs --all && npm prune --omit=dev --ignore-scripts && rm -rf .cache apps/portal/.next/cache

FROM node:24-bookworm-slim
ENV NODE_ENV=production NEXT_TELEMETRY_DISABLED=1
WORKDIR /drvs
COPY --from=build /drvs /drvs
# API and portal run as this user; an agent is started as root, to make control groups and namespaces, and starts
# its containers as users of their own.
RUN mkdir -p /data && chown node:node /data
USER node
VOLUME /data
EXPOSE 3000 3001
CMD ["node", "--enable-source-maps", "apps/api/dist/main.js"]
