/**
 * The system call filter of a container inside its sandbox: compiled once from `linux.seccomp`, and one object for all of its processes, so that what is found
 * out about a number is found out once.
 *
 *     const filter = new ContainerFilter(config.linux.seccomp, log);      // throws UserError: the profile is part of the configuration
 *     filter.install(task);                                               // each process that comes from outside; others inherit it
 *     filter.release();                                                   // the container has ended
 *
 * Linux: runc installs the filter before it executes the program, so a profile has to allow execve. Here the sandbox loads the program, and the filter
 * is there for the program's first instruction.
 */
import { errnoName } from '#sentry/abi/errno.ts';
import type { SeccompFilter } from '#sentry/kernel/seccomp/filter.ts';
import { dropFilter, giveFilter, makeFilter } from '#sentry/kernel/seccomp/install.ts';
import type { Task } from '#sentry/kernel/task.ts';
import { UserError } from '../errors.ts';
import type { SeccompConfig } from '../oci/config/types.ts';
import { EXIT_OCI_FAILURE } from '../oci/errors.ts';
import { compileProfile } from '../oci/seccomp/compile.ts';

export class ContainerFilter {
  /** Null: the container may make every call. */
  private readonly filter: SeccompFilter | null;

  /** `log`: told, a sentence each, what of the profile means nothing here. Throws UserError. */
  constructor(profile: SeccompConfig | null, log: (sentence: string) => void) {
    this.filter = profile === null ? null : filterOf(profile, log);
  }

  /** Before `task` runs. */
  install(task: Task): void {
    if (this.filter !== null) giveFilter(task, this.filter);
  }

  release(): void {
    if (this.filter !== null) dropFilter(this.filter);
  }
}

function filterOf(profile: SeccompConfig, log: (sentence: string) => void): SeccompFilter {
  const { words, flags, warnings } = compileProfile(profile);
  for (const warning of warnings) log(warning);
  const filter = makeFilter(words, flags);
  if (typeof filter !== 'number') return filter;
  throw new UserError(`config.json: linux.seccomp cannot be installed: ${errnoName(-filter)}`, EXIT_OCI_FAILURE);
}
