/**
 * The life of a container, and what may be done when (OCI runtime specification, "Lifecycle"). The sentences are those of runc, which clients look for.
 *
 *     create → created → start → running ⇄ paused
 *                  │                │        │
 *                  └──── kill, end of the first process ──→ stopped → delete
 */
import { UserError } from '../../errors.ts';

export type Status = 'creating' | 'created' | 'running' | 'paused' | 'stopped';
export type GuardedVerb = 'start' | 'kill' | 'exec' | 'pause' | 'resume' | 'delete' | 'update' | 'ps' | 'events';

const NOT_RUNNING = 'container not running';
const EXIT_FAILED = 1;

/** Why a verb is refused in a status; a status that is not listed allows it. */
const REFUSALS: Readonly<Record<GuardedVerb, Partial<Record<Status, string>>>> = {
  start: {
    running: 'cannot start an already running container',
    paused: 'cannot start a container in the paused state',
    stopped: 'cannot start a container that has stopped',
  },
  kill: { stopped: NOT_RUNNING },
  exec: {
    paused: 'cannot exec in a paused container (use --ignore-paused to override)',
    stopped: 'cannot exec in a stopped container',
  },
  pause: { paused: NOT_RUNNING, stopped: NOT_RUNNING },
  resume: { created: 'container not paused', running: 'container not paused', stopped: 'container not paused' },
  delete: {
    running: 'cannot delete container % that is not stopped: running',
    paused: 'cannot delete container % that is not stopped: paused',
  },
  update: { stopped: NOT_RUNNING },
  ps: { stopped: NOT_RUNNING },
  events: { stopped: 'container with id % is not running' },
};

/** Throws UserError unless `verb` is allowed for container `id` in `status`. */
export function permit(verb: GuardedVerb, id: string, status: Status): void {
  const refusal = REFUSALS[verb][status];
  if (refusal !== undefined) throw new UserError(refusal.replace('%', id), EXIT_FAILED);
}
