/**
 * The cgroup of one container on the host: a directory in each hierarchy. Every process of the sandbox is put into it before the first guest
 * process exists; those are clones of its members and born inside.
 *
 *     const cgroup = prepareCgroup(request)      (plan.ts)
 *     const joined = cgroup.joinInBackground([sentry, gofer]) … joined()
 *     state.json: cgroup.toState()               so that another process can take it down: HostCgroup.fromState(…).remove()
 *     cgroup.update(resources)
 *
 * Spec: cgroups(7); kernel Documentation/admin-guide/cgroup-v2.rst.
 */
import { EBUSY, EINVAL, ENOENT, errnoName } from '#sentry/abi/errno.ts';
import { CgroupError } from './cgroup-error.ts';
import type { ResourcesConfig } from '../config/types.ts';
import { BackgroundJoin } from './background-join.ts';
import type { CgroupFiles } from './cgroup-files.ts';
import { hostFiles } from './cgroup-files.ts';
import { removeCgroup } from './remove.ts';
import type { Setting } from './resources.ts';
import { version1Settings, version2Settings } from './settings.ts';

/** A container's directory in one hierarchy. */
export interface CgroupDirectory {
  readonly version: 1 | 2;
  /** Of v1: the hierarchy's. Of v2: those that can be used in this directory. */
  readonly controllers: readonly string[];
  /** Byte string, absolute. */
  readonly path: string;
  /** Directories above it that were made for it, the highest first. */
  readonly madeParents: readonly string[];
}

/** As kept in state.json. */
export interface CgroupState {
  readonly directories: readonly CgroupDirectory[];
  /** Name of the transient systemd unit it is, or null. */
  readonly scope: string | null;
  /** Made by a user to whom some hierarchies were refused: their limits are warned about. */
  readonly partial: boolean;
  /** What was intended when its creator died: nobody was in it yet, and who is in it now is somebody else. */
  readonly isOnlyPlanned: boolean;
}

export type Warn = (sentence: string) => void;

/** Without these a limit that was asked for would silently be none. */
const ESSENTIAL = new Set(['memory', 'cpu', 'cpuset', 'pids']);
/** Parts of essential controllers that a kernel may be built without. */
const OPTIONAL_FILES = new Set([
  'memory.memsw.limit_in_bytes',
  'memory.swap.max',
  'memory.swappiness',
  'cpu.rt_period_us',
  'cpu.rt_runtime_us',
  'cpu.cfs_burst_us',
  'cpu.max.burst',
  'cpu.idle',
]);
/** A task that was cloned a moment ago cannot be moved yet on v1. */
const JOIN_ATTEMPTS = 5;

/** Given the processes that were started meanwhile: they join too. */
export type FinishJoining = (latecomers?: readonly number[]) => void;

export class HostCgroup {
  readonly state: CgroupState;
  readonly files: CgroupFiles;

  constructor(state: CgroupState, files: CgroupFiles = hostFiles) {
    this.state = state;
    this.files = files;
  }

  static fromState(state: CgroupState, files: CgroupFiles = hostFiles): HostCgroup {
    return new HostCgroup(state, files);
  }

  toState(): CgroupState {
    return this.state;
  }

  /** The directory that `controller` is in, or null. */
  directoryOf(controller: string): CgroupDirectory | null {
    return this.state.directories.find(({ controllers }) => controllers.includes(controller)) ?? null;
  }

  /** Puts process `pid` with all its threads into it. Throws CgroupError. */
  join(pid: number): void {
    for (const { path } of this.state.directories) {
      let result = 0;
      for (let attempt = 0; attempt < JOIN_ATTEMPTS; attempt++) {
        result = this.files.write(`${path}/cgroup.procs`, String(pid));
        if (result !== -EINVAL) break;
      }
      if (result < 0) throw new CgroupError(`cannot put process ${pid} into the cgroup ${path} (${errnoName(-result)}).`);
    }
  }

  /**
   * The same for several processes, while the caller goes on. Returns a function that waits until they are in and throws CgroupError if they cannot
   * be.
   */
  joinInBackground(pids: readonly number[]): FinishJoining {
    const joining = new BackgroundJoin(
      this.state.directories.map(({ path }) => path),
      pids,
    );
    return (latecomers) => joining.finish(this.files, latecomers);
  }

  /**
   * Sets what `resources` has and leaves the rest. Throws CgroupError if a limit on memory, CPU or processes cannot be set; what else the host
   * does not know is told to `warn`.
   */
  update(resources: ResourcesConfig, warn: Warn): void {
    this.#checkUsage(resources);
    const again: Setting[] = [];
    const settings = this.#settings(resources, warn);
    for (const setting of settings) {
      const result = this.#write(setting);
      // Pairs of limits that bound each other: the second try finds the other one changed.
      if (result === -EINVAL) again.push(setting);
      else if (result < 0) this.#failed(setting, result, warn);
    }
    for (const setting of again) {
      const result = this.#write(setting);
      if (result < 0) this.#failed(setting, result, warn);
    }
  }

  /** Kills what is left in it and removes it. True if nothing remains. */
  remove(): boolean {
    return removeCgroup(this.state, this.files);
  }

  /** Each controller takes its settings in the version it is mounted as. */
  #settings(resources: ResourcesConfig, warn: Warn): Setting[] {
    const first = version1Settings(resources);
    const second = version2Settings(resources);
    const version = (setting: Setting): number | undefined => this.directoryOf(setting.controller)?.version;
    const unified = second.find((setting) => setting.field.startsWith('unified.') && version(setting) === 1);
    if (unified !== undefined) throw new CgroupError(`config.json: linux.resources.${unified.field}: cannot use unified on cgroup v1.`);
    const usable = [...first.filter((setting) => version(setting) === 1), ...second.filter((setting) => version(setting) === 2)];
    const missing = new Map([...first, ...second].map((setting) => [setting.field, setting]));
    for (const { field } of usable) missing.delete(field);
    for (const setting of missing.values()) this.#missing(setting, warn);
    return usable;
  }

  #write({ controller, file, value }: Setting): number {
    return this.files.write(`${this.directoryOf(controller)!.path}/${file}`, value);
  }

  #failed(setting: Setting, error: number, warn: Warn): void {
    const { controller, file, value, field } = setting;
    const directory = this.directoryOf(controller);
    if (directory === null) return this.#missing(setting, warn);
    const unknown = error === -ENOENT && !ESSENTIAL.has(controller);
    if (unknown || OPTIONAL_FILES.has(file)) {
      return warn(`linux.resources.${field} is not applied: ${directory.path}/${file} cannot be written (${errnoName(-error)}).`);
    }
    const usage = error === -EBUSY && file === 'memory.limit_in_bytes' ? this.#usageText(directory) : '';
    const what = `writing "${value}" to ${directory.path}/${file}`;
    throw new CgroupError(`cannot set linux.resources.${field}: ${what} failed (${errnoName(-error)})${usage}.`);
  }

  #missing({ controller, field }: Setting, warn: Warn): void {
    if (this.state.partial || !ESSENTIAL.has(controller)) {
      return warn(`linux.resources.${field} is not applied: there is no ${controller} controller for this container.`);
    }
    throw new CgroupError(`cannot set ${controller} limit: container could not join or create cgroup (linux.resources.${field}).`);
  }

  #usageText({ path }: CgroupDirectory): string {
    const current = this.files.read(`${path}/memory.usage_in_bytes`);
    const peak = this.files.read(`${path}/memory.max_usage_in_bytes`);
    return ` (current usage: ${String(current).trim()}, peak usage: ${String(peak).trim()})`;
  }

  /** v2 kills at once when a limit is set below what is in use; who asked to be told instead is told. */
  #checkUsage({ memory }: ResourcesConfig): void {
    const directory = this.directoryOf('memory');
    if (!memory.checkBeforeUpdate || directory?.version !== 2 || memory.limit === null || memory.limit <= 0) return;
    const current = Number(this.files.read(`${directory.path}/memory.current`));
    if (current > memory.limit) {
      throw new CgroupError(`rejecting memory limit ${memory.limit}: the container's cgroup uses ${current} bytes.`);
    }
  }
}
