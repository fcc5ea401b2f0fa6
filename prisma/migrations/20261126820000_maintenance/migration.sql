-- What somebody told an operation that waits for people: by node, who said it and when, and why the work failed if it did.
ALTER TABLE "operation" ADD COLUMN "answers" JSONB NOT NULL DEFAULT '{}';
