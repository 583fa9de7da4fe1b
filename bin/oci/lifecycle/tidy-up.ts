/**
 * The aftermath of `create` and `run` (bin/starter): what a sentry that failed, died or has ended leaves on the host, for it could not do so itself
 * once it was isolated.
 */
import { Aftermath } from '../../starter/hand-over.ts';
import type { RuntimeLog } from '../log.ts';
import { KnownContainer } from './known-container.ts';

/** Removes container `id` if this process's starter made it. */
export function tidyUp(root: string, id: string, aftermath: Aftermath, log: RuntimeLog): void {
  if (aftermath === Aftermath.Died) log.error('the sandbox ended before the container was created; --debug and --log tell more');
  const container = KnownContainer.tryFind(root, id);
  // Not ours: what failed was to claim the id.
  if (container === null || container.record.starter !== process.ppid) return;
  container.killHost();
  container.destroy(log);
}
