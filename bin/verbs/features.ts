/** `tsvisor features`: what the runtime supports (OCI features.md), what this host offers and what tsvisor uses of it, as JSON. */
import { Command } from 'commander';
import { readFileSync } from 'node:fs';
import { createHost } from '#platform/host/host.ts';
import { PLATFORM_NAMES, platformRefusal } from '../sandbox/choose-platform.ts';
import { ociFeatures } from '../oci/features.ts';
import { VERSION } from '../version.ts';

export function featuresCommand(): Command {
  return new Command('features')
    .description('Tell what the runtime supports, what this host offers and what tsvisor uses of it (JSON).')
    .action(() => {
      process.stdout.write(`${JSON.stringify(features(), null, 2)}\n`);
    });
}

function features(): object {
  return {
    ...ociFeatures(VERSION),
    version: VERSION,
    node: process.version,
    kernel: readOptional('/proc/sys/kernel/osrelease'),
    platforms: platforms(),
    yamaScope: readOptional('/proc/sys/kernel/yama/ptrace_scope') ?? 'off',
    confinement: {
      user: process.getuid!() === 0 ? 'root' : 'ordinary user',
      securityModules: readOptional('/sys/kernel/security/lsm'),
      userNamespacesMax: readOptional('/proc/sys/user/max_user_namespaces'),
    },
  };
}

/** Each platform is started and ended again. */
function platforms(): Record<string, { available: boolean; reason: string | null }> {
  const host = createHost();
  const entries = PLATFORM_NAMES.map((name) => {
    const reason = platformRefusal(name, host);
    return [name, { available: reason === null, reason }] as const;
  });
  return Object.fromEntries(entries);
}

function readOptional(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return null;
  }
}
