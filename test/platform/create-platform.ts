/** The platform named on the command line of a helper process. */
import type { Platform } from '../../platform/contract/platform.ts';
import type { LinuxHost } from '../../platform/host/host.ts';
import { createPtracePlatform } from '../../platform/ptrace/ptrace-platform.ts';
import { createSeccompPlatform } from '../../platform/seccomp/platform.ts';

export function createNamedPlatform(name: string | undefined, host: LinuxHost): Platform {
  if (name === 'ptrace') return createPtracePlatform(host);
  if (name === 'seccomp') return createSeccompPlatform(host);
  throw new Error(`no platform ${name}`);
}
