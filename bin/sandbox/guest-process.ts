/**
 * A process of a container as its configuration describes it (OCI runtime specification, config.md "process"): the container's own, or one that is
 * started beside it.
 *
 *     const guest = makeProcess(place, process, files, outside);       // it has not run, and has no program yet
 *     checkProgram(guest.task, process);                               // whether there will be one
 *     loadProgram(guest.task, process);
 *     kernel.start(guest.task);
 *
 * What is said about a program that cannot be executed is in bin/oci/errors.ts, for container managers look at it.
 */
import { errnoName } from '#sentry/abi/errno.ts';
import { createProcess, discardProcess } from '#sentry/kernel/boot.ts';
import type { Container } from '#sentry/kernel/container.ts';
import { execve } from '#sentry/kernel/exec/exec.ts';
import type { Task } from '#sentry/kernel/task.ts';
import type { OutsideParent } from '#sentry/kernel/thread-group.ts';
import { initialCredentials, NO_CAPABILITIES } from '#sentry/vfs/credentials.ts';
import type { Credentials } from '#sentry/vfs/credentials.ts';
import { WALK_DIRECTORY, WALK_FOLLOW, resolve } from '#sentry/vfs/walk.ts';
import type { HostFiles } from '#sentry/fs/host-file/host-files.ts';
import { toText } from '../byte-text.ts';
import { UserError } from '../errors.ts';
import type { CapabilitiesConfig, ProcessConfig } from '../oci/config/types.ts';
import { EXIT_OCI_FAILURE, programError, reasonOf } from '../oci/errors.ts';
import type { ContainerTree } from './container-tree.ts';
import { searchProgram } from './find-program.ts';
import type { FoundProgram } from './find-program.ts';
import { homeDirectory } from './home-directory.ts';
import { installFiles } from './standard-files.ts';
import type { Inherited, InstalledFiles } from './standard-files.ts';

const UMASK_DEFAULT = 0o022;

/** Where processes of a container are made. */
export interface ProcessPlace {
  readonly container: Container;
  readonly tree: ContainerTree;
  readonly files: HostFiles;
  readonly personality: number;
}

export interface GuestProcess {
  readonly task: Task;
  readonly installed: InstalledFiles;
}

/** Throws UserError where the host gives no process or the working directory cannot be entered. */
export function makeProcess(
  { container, tree, files, personality }: ProcessPlace,
  config: ProcessConfig,
  inherited: readonly (Inherited | null)[],
  outside: OutsideParent,
): GuestProcess {
  const { namespace } = tree;
  const task = createProcess(container.kernel, container, {
    credentials: credentialsOf(config),
    namespace,
    root: namespace.rootPath,
    umask: config.user.umask ?? UMASK_DEFAULT,
    limits: config.rlimits.map(({ resource, soft, hard }) => [resource, soft, hard] as const),
    oomScoreAdj: config.oomScoreAdj ?? 0,
    personality,
    outside,
  });
  if (typeof task === 'number')
    throw new UserError(`unable to start container process: no process can be made (${errnoName(-task)})`, EXIT_OCI_FAILURE);
  try {
    const installed = installFiles(files, task, tree.pts, inherited);
    enter(task, config.cwd);
    return { task, installed };
  } catch (error) {
    discardProcess(task);
    throw error;
  }
}

/** Throws UserError, in the words that managers know, where `process` would find nothing to execute. */
export function checkProgram(task: Task, config: ProcessConfig): void {
  programOf(task, config.args[0]!, config.env).file.release();
}

/** Gives `task` its program, by default what it calls itself. Throws UserError as above. */
export function loadProgram(task: Task, config: ProcessConfig, name = config.args[0]!): void {
  const program = programOf(task, name, config.env);
  const loaded = execve(task, { ...program, args: config.args, environment: environmentOf(task, config) });
  if (loaded < 0) throw programError(name, -loaded);
}

function programOf(task: Task, name: string, environment: readonly string[]): FoundProgram {
  const found = searchProgram(task, name, environment);
  if (typeof found !== 'number') return found;
  throw programError(name, -found);
}

/** HOME is that of the user where the configuration has none. */
function environmentOf(task: Task, { env, user }: ProcessConfig): readonly string[] {
  return env.some((entry) => entry.startsWith('HOME=')) ? env : [...env, `HOME=${homeDirectory(task, user.uid)}`];
}

function enter(task: Task, cwd: string): void {
  const place = resolve(task, null, cwd, WALK_FOLLOW | WALK_DIRECTORY);
  if (typeof place === 'number') {
    throw new UserError(
      `unable to start container process: chdir to cwd (${JSON.stringify(toText(cwd))}) set in config.json failed: ${reasonOf(-place)}`,
      EXIT_OCI_FAILURE,
    );
  }
  task.fs.setCwd(place);
}

const NOTHING: CapabilitiesConfig = {
  bounding: NO_CAPABILITIES,
  effective: NO_CAPABILITIES,
  inheritable: NO_CAPABILITIES,
  permitted: NO_CAPABILITIES,
  ambient: NO_CAPABILITIES,
};

/** Before execve(2), which makes of them what it makes of any process's. */
function credentialsOf({ user: { uid, gid, additionalGids }, capabilities, noNewPrivileges }: ProcessConfig): Credentials {
  const ids = initialCredentials(uid, gid, additionalGids, NO_CAPABILITIES);
  return { ...ids, ...(capabilities ?? NOTHING), noNewPrivs: noNewPrivileges };
}
