/**
 * What the starter and the sentry that it becomes agree on: where the socket of the gofer is.
 *
 * A number that leaves the caller's own descriptors alone, and three digits, so that the variable is a constant. The launcher (bin/tsvisor) has
 * renamed every variable of its caller, so that nobody else sets this one.
 */
import type { HostFd } from '#platform/contract/host.ts';

export const GOFER_VARIABLE = 'TSVISOR_GOFER';
export const GOFER_DESCRIPTOR = 100;

/** The socket of a gofer that the starter has started, or null. */
export function startedGofer(): HostFd | null {
  const started = process.env['TSVISOR_LAUNCHER'] === '1' && process.env[GOFER_VARIABLE] === String(GOFER_DESCRIPTOR);
  return started ? GOFER_DESCRIPTOR : null;
}
