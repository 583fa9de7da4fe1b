/**
 * The life of a container, and what may be done when (OCI runtime specification, "Lifecycle"). The sentences are those of runc, which clients look for.
 *
 *     create → created → start → running ⇄ paused
 *                  │                │        │
 *                  └──── kill, end of the first process ──→ stopped → delete
 */
import { ociError } from '../errors.ts';
import type { OciErrorKind } from '../errors.ts';

export type Status = 'creating' | 'created' | 'running' | 'paused' | 'stopped';
export type GuardedVerb = 'start' | 'kill' | 'exec' | 'pause' | 'resume' | 'delete' | 'update' | 'events';

/** Why a verb is refused in a status; one that is not listed allows it. */
const REFUSALS: Readonly<Record<GuardedVerb, Partial<Record<Status, OciErrorKind>>>> = {
  start: { running: 'alreadyStarted', paused: 'alreadyStarted', stopped: 'startStopped' },
  kill: { stopped: 'notRunning' },
  exec: { paused: 'execPaused', stopped: 'execStopped' },
  pause: { paused: 'notRunning', stopped: 'notRunning' },
  resume: { created: 'notPaused', running: 'notPaused', stopped: 'notPaused' },
  delete: { running: 'deleteRunning', paused: 'deleteRunning' },
  update: { stopped: 'notRunning' },
  events: { stopped: 'notRunning' },
};

/** Throws OciError unless `verb` is allowed for container `id` in `status`. */
export function permit(verb: GuardedVerb, id: string, status: Status): void {
  const refusal = REFUSALS[verb][status];
  if (refusal !== undefined) throw ociError(refusal, id);
}
