/**
 * The OCI runtime under test, and how its verbs are called.
 *
 * TSVISOR_OCI_RUNTIME names the binary (a path, or a name in PATH); bin/tsvisor when it is not set. `TSVISOR_OCI_RUNTIME=runc` shows that
 * a test describes what runc does: it has to pass there first. Every test file has a state directory of its own (`--root`), so that
 * nothing of the machine's containers is seen or touched.
 *
 *     const outcome = await verb(['state', id]);             // a verb that ends by itself
 *     const process = startVerb(['run', '--bundle', b, id]); // one that goes on
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll } from 'vitest';
import { type Outcome, plainEnvironment, tsvisor } from '../../harness/run.ts';
import { removeTree } from './remove-tree.ts';

const chosen = process.env.TSVISOR_OCI_RUNTIME;

export const runtimeBinary = chosen === undefined || chosen === '' ? tsvisor : chosen;

/** Where a deliberate difference has to be told apart: what our runtime does, and what the peers do. */
export const ours = basename(runtimeBinary).startsWith('tsvisor');

/** The state directory of this test file. */
export const stateRoot = mkdtempSync(join(tmpdir(), 'tsvisor-oci-'));

afterAll(() => removeTree(stateRoot));

export interface VerbOptions {
  cwd?: string;
  stdin?: string | Uint8Array;
  env?: Record<string, string>;
  /** Options before the verb, such as `['--log', file]`. */
  globals?: readonly string[];
  timeoutMs?: number;
}

/** A verb that has been started. Its output may go on after it: the container of `create` inherits its streams. */
export class StartedVerb {
  readonly child: ChildProcessWithoutNullStreams;
  /** Exit status of the verb itself; 128+n after a signal. */
  readonly exited: Promise<number>;
  /** Everybody who could write to its streams has closed them. */
  readonly closed: Promise<void>;
  readonly #out: Buffer[] = [];
  readonly #err: Buffer[] = [];

  constructor(args: readonly string[], options: VerbOptions) {
    this.child = spawn(runtimeBinary, ['--root', stateRoot, ...(options.globals ?? []), ...args], {
      cwd: options.cwd ?? '/',
      env: options.env ?? plainEnvironment,
      stdio: 'pipe',
    });
    this.child.stdout.on('data', (chunk: Buffer) => this.#out.push(chunk));
    this.child.stderr.on('data', (chunk: Buffer) => this.#err.push(chunk));
    // A container need not read its input.
    this.child.stdin.on('error', () => undefined);
    this.exited = new Promise((resolve, reject) => {
      this.child.on('error', reject);
      this.child.on('exit', (status, signal) => resolve(status ?? (signal === 'SIGKILL' ? 137 : 128)));
    });
    this.closed = new Promise((resolve) => {
      this.child.on('close', () => resolve());
    });
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#out);
  }

  get stdout(): string {
    return this.bytes.toString();
  }

  get stderr(): string {
    return Buffer.concat(this.#err).toString();
  }
}

/** Starts a verb; its standard input stays open unless `stdin` is given. */
export function startVerb(args: readonly string[], options: VerbOptions = {}): StartedVerb {
  const started = new StartedVerb(args, options);
  if (options.stdin !== undefined) started.child.stdin.end(options.stdin);
  return started;
}

/** Runs a verb to its end and to the end of its output. Killed after `timeoutMs` (20 s), and `timedOut` set. */
export async function verb(args: readonly string[], options: VerbOptions = {}): Promise<Outcome> {
  const started = startVerb(args, { stdin: '', ...options });
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    started.child.kill('SIGKILL');
    started.child.stdout.destroy();
    started.child.stderr.destroy();
  }, options.timeoutMs ?? 20_000);
  const status = await started.exited;
  await started.closed;
  clearTimeout(timer);
  return { status, signal: null, timedOut, stdout: started.stdout, stderr: started.stderr, bytes: started.bytes };
}
