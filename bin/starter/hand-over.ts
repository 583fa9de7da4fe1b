/**
 * What the starter and the sentry that it becomes agree on: the descriptors it was given, and how it was started.
 *
 * Numbers that leave the caller's own descriptors alone. The launcher (bin/tsvisor) has renamed every variable of its caller, so that nobody
 * else sets this one.
 */
import type { HostFd } from '#platform/contract/host.ts';

export const STARTED_VARIABLE = 'TSVISOR_STARTED';
export const GOFER_DESCRIPTOR = 100;
export const OUTCOME_DESCRIPTOR = 101;

/** How a sandbox is started: the first argument of the starter. Their first letters differ. */
export const StartMode = {
  /** The caller's process becomes the sentry: `do`. */
  Here: 'here',
  /** A child becomes the sentry, in a session of its own; the caller's process ends as soon as it is told the outcome: `create`. */
  Detached: 'detached',
  /** A child becomes the sentry; the caller's process passes signals on, waits for its end and tidies up: `run`. */
  Attended: 'attended',
} as const;
export type StartMode = (typeof StartMode)[keyof typeof StartMode];

/** What the caller's process becomes when a child did not make it: its verb is to remove what is left. */
export const Aftermath = {
  /** The child has said why. */
  Failed: 'failed',
  /** It has not. */
  Died: 'died',
  /** It ran, and has ended. */
  Ended: 'ended',
} as const;
export type Aftermath = (typeof Aftermath)[keyof typeof Aftermath];

function started(): string | null {
  return process.env['TSVISOR_LAUNCHER'] === '1' ? (process.env[STARTED_VARIABLE] ?? null) : null;
}

/** How the starter made this process a sentry; null: it did not. */
export function startMode(): StartMode | null {
  const value = started();
  return Object.values(StartMode).find((mode) => mode === value) ?? null;
}

/** What this process is to tidy up after; null: nothing. */
export function aftermath(): Aftermath | null {
  const value = started();
  return Object.values(Aftermath).find((each) => each === value) ?? null;
}

/** The socket of a gofer that the starter has started, or null. */
export function startedGofer(): HostFd | null {
  return startMode() === null ? null : GOFER_DESCRIPTOR;
}

/** The pipe on which a detached or attended sentry tells its outcome (outcome.ts), or null. */
export function outcomePipe(): HostFd | null {
  const mode = startMode();
  return mode === null || mode === StartMode.Here ? null : OUTCOME_DESCRIPTOR;
}
