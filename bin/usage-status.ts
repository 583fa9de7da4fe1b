/** Exit status of wrong usage, by verb: EXIT_USAGE unless it is here. The OCI runtime's verbs end as runc's do. */
import type { Command } from 'commander';

export const usageStatus = new WeakMap<Command, number>();
