import { Option } from 'commander';

/** Of every command that starts an operation: see Shell.ended. */
export const noWait = (): Option => new Option('--no-wait', "do not wait; print the operation's id");
