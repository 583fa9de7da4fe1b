/** `tsvisor exec`: one more process in a running container. This process becomes its stand-in, or starts one with --detach. */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { toBytes } from '../byte-text.ts';
import { UserError } from '../errors.ts';
import { EXIT_EXEC_FAILURE } from '../oci/errors.ts';
import { execIn } from '../oci/lifecycle/exec.ts';
import type { ProcessChanges } from '../oci/lifecycle/exec.ts';
import { KnownContainer } from '../oci/lifecycle/known-container.ts';
import { ociAction, parseCount } from './oci-action.ts';

interface ExecFlags {
  consoleSocket?: string;
  cwd?: string;
  env: string[];
  tty?: boolean;
  user?: string;
  additionalGids: number[];
  process?: string;
  detach?: boolean;
  pidFile?: string;
  noNewPrivs?: boolean;
  cap: string[];
  preserveFds: number;
  ignorePaused?: boolean;
}

const collect = (value: string, previous: string[]): string[] => [...previous, value];

export function execCommand(): Command {
  const command = new Command('exec')
    .description('Run a further process in a container.')
    .passThroughOptions()
    .argument('<id>')
    .argument('[command]', 'the program, with --process that of its file')
    .argument('[arg...]')
    .option('--console-socket <path>', "socket that gets the terminal's other end")
    .option('--cwd <dir>', 'working directory inside')
    .option('-e, --env <name=value>', 'set an environment variable (repeatable)', collect, [])
    .option('-t, --tty', 'with a terminal')
    .option('-u, --user <uid[:gid]>', 'as this user')
    .option(
      '-g, --additional-gids <gid>',
      'in this group as well (repeatable)',
      (value, previous: number[]) => [...previous, Number(value)],
      [],
    )
    .option('-p, --process <file>', 'the process as config.json describes one')
    .option('-d, --detach', 'return when it runs')
    .option('--pid-file <path>', 'file for the process id that stands for it on the host')
    .option('--no-new-privs', 'execve gives no more rights')
    .option('-c, --cap <name>', 'with this capability as well (repeatable)', collect, [])
    .option('--preserve-fds <n>', 'pass on this many descriptors after standard error', parseCount, 0)
    .option('--ignore-paused', 'also where the container is paused')
    .option('--process-label <label>', 'accepted: there are no labels inside')
    .option('--apparmor <profile>', 'accepted: there are no profiles inside')
    .option('--cgroup <path>', 'accepted: the container has one cgroup');
  return ociAction(
    command,
    ({ globals, log }, id: string, program: string | undefined, args: string[], flags: ExecFlags) => {
      const container = KnownContainer.find(globals.root, id);
      const { process: file, consoleSocket = null, pidFile = null, detach = false, preserveFds, ignorePaused = false } = flags;
      if (file === undefined && program === undefined) throw new UserError('process args cannot be empty', EXIT_EXEC_FAILURE);
      return execIn(
        container,
        {
          process: file === undefined ? changesOf([program!, ...args], flags) : readFileSync(file, 'utf8'),
          consoleSocket: consoleSocket === '' ? null : consoleSocket,
          pidFile: pidFile === '' ? null : pidFile,
          detach,
          preserveFds,
          ignorePaused,
        },
        log,
      );
    },
    EXIT_EXEC_FAILURE,
  );
}

function changesOf(args: readonly string[], flags: ExecFlags): ProcessChanges {
  return {
    args: args.map(toBytes),
    cwd: flags.cwd === undefined ? null : toBytes(flags.cwd),
    env: flags.env.map(toBytes),
    terminal: flags.tty === true,
    user: flags.user === undefined ? null : parseUser(flags.user),
    additionalGids: flags.additionalGids,
    // commander makes a negation of the name: false when the flag is given.
    noNewPrivileges: (flags as { newPrivs?: boolean }).newPrivs === false,
    capabilities: flags.cap,
  };
}

function parseUser(value: string): { readonly uid: number; readonly gid: number | null } {
  const match = /^(\d{1,10})(?::(\d{1,10}))?$/.exec(value);
  if (match === null) throw new UserError(`--user ${value}: it must be UID or UID:GID, in numbers`, EXIT_EXEC_FAILURE);
  return { uid: Number(match[1]), gid: match[2] === undefined ? null : Number(match[2]) };
}
