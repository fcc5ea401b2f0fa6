-- Several API processes on one ledger: which of them live, which one holds the channel of which agent, and what they say
-- to each other. And the silence of agents that nobody could hear: see api-processes.ts.

CREATE TABLE "api_process" (
  "id" UUID PRIMARY KEY,
  "started_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "seen_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "ended_at" TIMESTAMPTZ(3)
);

CREATE TABLE "agent_channel" (
  "node_id" UUID PRIMARY KEY REFERENCES "node" ON DELETE CASCADE,
  "process_id" UUID NOT NULL REFERENCES "api_process" ON DELETE CASCADE
);

-- Frames on their way from one process to another, in the order of their ids. They are worth nothing after a crash.
CREATE UNLOGGED TABLE "api_frame" (
  "id" BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  "from_process" UUID NOT NULL,
  "to_process" UUID NOT NULL,
  "at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "frame" BYTEA NOT NULL
);
CREATE INDEX "api_frame_to" ON "api_frame" ("to_process", "id");

-- When it was really heard last, where the silence since then is not held against it; null with its next heartbeat.
ALTER TABLE "node" ADD COLUMN "heard_at" TIMESTAMPTZ(3);
