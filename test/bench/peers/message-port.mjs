// A worker thread that sends back what comes through its MessagePort.
import { parentPort } from 'node:worker_threads';

parentPort.on('message', (bytes) => parentPort.postMessage(bytes));
