/**
 * One container of a test: a bundle with a busybox root of its own, the verbs on it, and its removal at the end of the scope.
 *
 *     await using box = await newContainer({ shell: 'echo hello' });
 *     const outcome = await box.run();
 *
 * or step by step: `await box.create(); await box.start(); await box.until('stopped'); box.output()`.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Outcome } from '../../harness/run.ts';
import { copyBusybox, makeRootfs } from './busybox.ts';
import { removeTree } from './remove-tree.ts';
import { type StartedVerb, startVerb, stateRoot, type VerbOptions, verb } from './runtime.ts';
import { defaultSpec, type Spec } from './spec.ts';

export interface Setup {
  /** The process; `sleep 300` when neither this nor `shell` is given. */
  args?: readonly string[];
  /** The process as a line for `sh -c`. */
  shell?: string;
  /** Further changes to config.json; the path of the root is given for those who put files there. */
  edit?: (spec: Spec, rootfs: string, bundle: string) => void;
}

/** What `state` prints. */
export interface State {
  ociVersion: string;
  id: string;
  pid: number;
  status: string;
  bundle: string;
  rootfs?: string;
  created?: string;
  annotations?: Record<string, string>;
}

let count = 0;

export async function newContainer(setup: Setup = {}): Promise<TestContainer> {
  const bundle = mkdtempSync(join(tmpdir(), 'tsvisor-bundle-'));
  const rootfs = join(bundle, 'rootfs');
  mkdirSync(rootfs);
  const busybox = join(stateRoot, '.busybox');
  if (!existsSync(busybox)) copyBusybox(busybox);
  makeRootfs(rootfs, busybox);
  const spec = await defaultSpec();
  spec.process.args = setup.shell === undefined ? [...(setup.args ?? ['sleep', '300'])] : ['sh', '-c', setup.shell];
  setup.edit?.(spec, rootfs, bundle);
  const container = new TestContainer(`test-${process.pid}-${count++}`, bundle);
  container.configure(spec);
  return container;
}

export class TestContainer implements AsyncDisposable {
  readonly id: string;
  readonly bundle: string;
  readonly rootfs: string;
  #created: StartedVerb | null = null;

  constructor(id: string, bundle: string) {
    this.id = id;
    this.bundle = bundle;
    this.rootfs = join(bundle, 'rootfs');
  }

  /** Writes config.json. Text is written as it is, for files that no program would write. */
  configure(spec: Spec | string): void {
    writeFileSync(join(this.bundle, 'config.json'), typeof spec === 'string' ? spec : JSON.stringify(spec, null, 2));
  }

  /** `create`. The container keeps the streams; see `output` and `ended`. */
  async create(args: readonly string[] = [], options: VerbOptions = {}): Promise<{ status: number; stderr: string }> {
    const started = startVerb(['create', '--bundle', this.bundle, ...args, this.id], options);
    this.#created = started;
    const status = await started.exited;
    if (status !== 0) await started.closed;
    return { status, stderr: started.stderr };
  }

  /** `create` and `start`, which both have to succeed. */
  async createAndStart(args: readonly string[] = [], options: VerbOptions = {}): Promise<void> {
    const created = await this.create(args, options);
    if (created.status !== 0) throw new Error(`create: status ${created.status}: ${created.stderr}`);
    const started = await this.start();
    if (started.status !== 0) throw new Error(`start: status ${started.status}: ${started.stderr}`);
  }

  start(): Promise<Outcome> {
    return this.verb('start');
  }

  /** `run` in the foreground, to its end. */
  run(args: readonly string[] = [], options: VerbOptions = {}): Promise<Outcome> {
    return verb(['run', '--bundle', this.bundle, ...args, this.id], options);
  }

  /** `run` in the foreground, still going. */
  startRun(args: readonly string[] = [], options: VerbOptions = {}): StartedVerb {
    return startVerb(['run', '--bundle', this.bundle, ...args, this.id], options);
  }

  exec(command: readonly string[], args: readonly string[] = [], options: VerbOptions = {}): Promise<Outcome> {
    return verb(['exec', ...args, this.id, ...command], options);
  }

  kill(signal: string, args: readonly string[] = []): Promise<Outcome> {
    return verb(['kill', ...args, this.id, signal]);
  }

  delete(args: readonly string[] = []): Promise<Outcome> {
    return verb(['delete', ...args, this.id]);
  }

  /** `NAME [args] ID`. */
  verb(name: string, args: readonly string[] = [], options: VerbOptions = {}): Promise<Outcome> {
    return verb([name, ...args, this.id], options);
  }

  /** What `state` prints, or null where it says that there is no such container. */
  async state(): Promise<State | null> {
    const outcome = await this.verb('state');
    if (outcome.status === 0) return JSON.parse(outcome.stdout) as State;
    if (outcome.stderr.includes('does not exist')) return null;
    throw new Error(`state: status ${outcome.status}: ${outcome.stderr}`);
  }

  /** Waits until `state` says `status`; an error after 10 s. */
  async until(status: string): Promise<void> {
    let seen: string | undefined;
    for (const end = Date.now() + 10_000; Date.now() < end; await sleep(25)) {
      seen = (await this.state())?.status;
      if (seen === status) return;
    }
    throw new Error(`${this.id} is ${seen ?? 'gone'}, not ${status}`);
  }

  /** The process that `create` started: input and output of the container. */
  get streams(): StartedVerb {
    if (this.#created === null) throw new Error('the container was not created');
    return this.#created;
  }

  /** Standard output of the container to its last byte. */
  async output(): Promise<string> {
    await this.streams.closed;
    return this.streams.stdout;
  }

  /** A file of the bundle, empty where there is none. */
  read(name: string): string {
    try {
      return readFileSync(join(this.bundle, name), 'utf8');
    } catch {
      return '';
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const outcome = await this.delete(['--force']);
    this.#created?.child.stdin.destroy();
    // The verb is not needed for a directory, and an error in it should not hide what the test found.
    if (outcome.timedOut) throw new Error('delete --force does not end');
    removeTree(this.bundle);
  }
}

/** Runs one line of shell in a container of its own and returns what `run` came to. */
export async function runShell(shell: string, edit?: Setup['edit'], args: readonly string[] = []): Promise<Outcome> {
  await using box = await newContainer({ shell, ...(edit === undefined ? {} : { edit }) });
  // Not without await: the scope would remove what still runs.
  return await box.run(args);
}
