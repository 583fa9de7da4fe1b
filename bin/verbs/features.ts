/** `tsvisor features`: what this host offers and what tsvisor uses of it, as JSON. */
import { Command } from 'commander';
import { readFileSync } from 'node:fs';
import { VERSION } from '../version.ts';

export function featuresCommand(): Command {
  return new Command('features').description('Tell what this host offers and what tsvisor uses of it (JSON).').action(() => {
    process.stdout.write(`${JSON.stringify(features(), null, 2)}\n`);
  });
}

function features(): object {
  return {
    version: VERSION,
    node: process.version,
    kernel: readOptional('/proc/sys/kernel/osrelease'),
    platforms: { ptrace: { yamaScope: readOptional('/proc/sys/kernel/yama/ptrace_scope') ?? 'off' } },
    confinement: {
      user: process.getuid!() === 0 ? 'root' : 'ordinary user',
      securityModules: readOptional('/sys/kernel/security/lsm'),
      userNamespacesMax: readOptional('/proc/sys/user/max_user_namespaces'),
    },
  };
}

function readOptional(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return null;
  }
}
