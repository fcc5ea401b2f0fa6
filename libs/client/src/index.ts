export { DrvsClient, type DrvsClientOptions, OperationFailed } from './client.js';
export type { AnswerOf, BodyOf, ItemOf, ListPath, Paths, QueryOf } from './paths.js';
export * from './problem.js';
export * from './retry.js';
export { linesIn, type ServerSentEvent, serverSentEvents } from './server-sent-events.js';
