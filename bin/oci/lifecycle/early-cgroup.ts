/**
 * The host's cgroups, asked for as soon as this module is loaded, where this process was started to become a container's sentry: what the host
 * has to do for the first move into a cgroup (cgroups/background-join.ts) then passes beside the loading of all other modules.
 */
import { outcomePipe } from '../../starter/hand-over.ts';
import { beginCgroup } from '../cgroups/plan.ts';
import type { CgroupHost } from '../cgroups/plan.ts';

export const earlyCgroup: CgroupHost | null = outcomePipe() === null ? null : beginCgroup();
