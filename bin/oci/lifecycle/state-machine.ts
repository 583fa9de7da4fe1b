/**
 * The life of a container, and what may be done when (OCI runtime specification, "Lifecycle"). The sentences are those of runc, which clients look for.
 *
 *     create → created → start → running ⇄ paused
 *                  │                │        │
 *                  └──── kill, end of the first process ──→ stopped → delete
 */
import { notStopped, ociError } from '../errors.ts';
import type { OciErrorKind } from '../errors.ts';

export type Status = 'creating' | 'created' | 'running' | 'paused' | 'stopped';
export type GuardedVerb = 'start' | 'kill' | 'exec' | 'pause' | 'resume' | 'update' | 'events';

/** Why a verb is refused in a status; one that is not listed allows it. */
const REFUSALS: Readonly<Record<GuardedVerb, Partial<Record<Status, OciErrorKind>>>> = {
  start: { running: 'alreadyStarted', paused: 'startPaused', stopped: 'startStopped' },
  kill: { stopped: 'notRunning' },
  exec: { paused: 'execPaused', stopped: 'execStopped' },
  pause: { paused: 'notRunning', stopped: 'notRunning' },
  resume: { created: 'notPaused', running: 'notPaused', stopped: 'notPaused' },
  update: { stopped: 'notRunning' },
  events: { stopped: 'eventsStopped' },
};

/** Throws OciError unless `verb` is allowed for container `id` in `status`. */
export function permit(verb: GuardedVerb, id: string, status: Status): void {
  const refusal = REFUSALS[verb][status];
  if (refusal !== undefined) throw ociError(refusal, id);
}

/** Throws UserError unless a container may be deleted in `status` without force: one that was never started has nobody in it who would mind. */
export function permitDelete(id: string, status: Status): void {
  if (status === 'running' || status === 'paused') throw notStopped(id, status);
}
