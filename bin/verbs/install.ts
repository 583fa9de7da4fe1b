/**
 * `tsvisor install`: makes the runtime known to Docker, containerd, podman or CRI-O by changing their configuration, or shows what it would change.
 */
import { chmodSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { Command } from 'commander';
import { UserError } from '../errors.ts';
import { callerVariable } from '../guest-env.ts';
import { CLIENTS, planInstallation } from '../oci/install/clients.ts';
import type { Client, InstallPlan } from '../oci/install/clients.ts';
import { difference } from '../oci/install/diff.ts';

type InstallOptions = Partial<Record<Client, boolean>> & { name: string; dryRun?: boolean; prefix: string };

const NEW_FILE_MODE = 0o644;

export function installCommand(): Command {
  const command = new Command('install').description(
    'Make the runtime known to container engines, or show with --dry-run what would be changed.',
  );
  command
    .option('--docker', 'Docker: daemon.json')
    .option('--containerd', 'containerd (Kubernetes): config.toml')
    .option('--podman', 'podman: containers.conf.d')
    .option('--crio', 'CRI-O (Kubernetes): crio.conf.d')
    .option('--name <name>', 'what the engine shall call the runtime', 'tsvisor')
    .option('--dry-run', 'show the changes, make none')
    .option('--prefix <dir>', 'directory that is / of the system to change', '/');
  return command.action((options: InstallOptions) => {
    const clients = CLIENTS.filter((client) => options[client] === true);
    if (clients.length === 0) throw new UserError(`say for which engine: ${CLIENTS.map((client) => `--${client}`).join(', ')}.`);
    // All are planned before the first is changed.
    const plans = clients.map((client) => planInstallation(client, request(options)));
    for (const plan of plans) carryOut(plan, options);
  });
}

function request({ name, prefix }: InstallOptions): Parameters<typeof planInstallation>[1] {
  return {
    name,
    program: resolve(dirname(process.argv[1]!), '../bin/tsvisor'),
    userConfig: process.geteuid!() === 0 ? null : userConfig(),
    read: (path) => readOptional(join(prefix, path)),
    list: (directory) => listOptional(join(prefix, directory)),
  };
}

function userConfig(): string {
  return callerVariable('XDG_CONFIG_HOME') ?? join(callerVariable('HOME') ?? homedir(), '.config');
}

function carryOut({ path, before, after, next }: InstallPlan, { prefix, dryRun }: InstallOptions): void {
  const target = join(prefix, path);
  if (before === after) say(`${target} is up to date.`);
  else {
    if (dryRun !== true) replace(target, after);
    say([dryRun === true ? `${target} would change:` : `${target} is changed:`, ...difference(before, after)].join('\n'));
  }
  say(['Next:', ...next.map((line) => `    ${line}`)].join('\n'));
}

/** As a whole or not at all, with the permissions it had. */
function replace(path: string, text: string): void {
  const temporary = `${path}.tsvisor-${process.pid}`;
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(temporary, text, { flag: 'wx', mode: NEW_FILE_MODE });
    const mode = statSync(path, { throwIfNoEntry: false })?.mode;
    if (mode !== undefined) chmodSync(temporary, mode & 0o7777);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new UserError(
      `${path} cannot be written (${(error as NodeJS.ErrnoException).code ?? 'error'}); --dry-run shows what to change by hand.`,
    );
  }
}

function readOptional(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code = 'error' } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw new UserError(`${path} cannot be read (${code}).`);
  }
}

function listOptional(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return [];
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
