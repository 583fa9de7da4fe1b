/**
 * Runs a program on Linux or inside tsvisor, always with a time limit and always cleaning up after itself.
 *
 * Each program leads a session of its own, so one signal to its process group removes it with everything it started, and it has
 * no controlling terminal by accident. Both sides get the same small environment, so that outputs can be compared byte by byte.
 *
 * Typical sequence: `const outcome = await runInside(['sh', '-c', 'id'])`, then expectations on `status`, `stdout`, `stderr`.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';

export const repository = join(import.meta.dirname, '../..');
export const tsvisor = join(repository, 'bin/tsvisor');

/** The platform under test; the one that `do` picks by itself when not set. */
const platform = process.env.TSVISOR_TEST_PLATFORM;

/** With TSVISOR_TEST_UID set, everything runs as that user instead of as root, on Linux and inside. */
export const userUnderTest = process.env.TSVISOR_TEST_UID === undefined ? {} : userIds(Number(process.env.TSVISOR_TEST_UID));

/** Whether what is run is root's. */
export const isRootUnderTest = process.getuid?.() === 0 && process.env.TSVISOR_TEST_UID === undefined;

function userIds(id: number): { uid: number; gid: number } {
  if (!Number.isInteger(id) || id < 0) throw new Error('TSVISOR_TEST_UID is not a user number');
  return { uid: id, gid: id };
}

const MAX_OUTPUT = 64 << 20;

export interface RunOptions {
  /** The whole environment; `plainEnvironment` when absent. */
  env?: Record<string, string>;
  cwd?: string;
  stdin?: string | Uint8Array;
  /** Default 30 s; the program is killed and `timedOut` set. */
  timeoutMs?: number;
}

export interface InsideOptions extends RunOptions {
  /** Options of `tsvisor do`, such as `['--rw', dir]`. */
  args?: readonly string[];
}

export interface Outcome {
  stdout: string;
  stderr: string;
  /** Exit status, or null when a signal ended the program. */
  status: number | null;
  signal: NodeJS.Signals | null;
  timedOut: boolean;
  /** Standard output as it came, for data that is not text. */
  bytes: Buffer;
}

export const plainEnvironment: Record<string, string> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/tmp',
  LANG: 'C.UTF-8',
  TZ: 'UTC',
};

export function runNative(command: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return run(command, options);
}

/** The argument vector that runs `command` inside, for tests that start it themselves. */
export function insideCommand(command: readonly string[], args: readonly string[] = []): string[] {
  const choice = platform === undefined || platform === '' ? [] : ['--platform', platform];
  return [tsvisor, 'do', ...choice, ...args, '--', ...command];
}

export function runInside(command: readonly string[], options: InsideOptions = {}): Promise<Outcome> {
  return run(insideCommand(command, options.args), options);
}

function run(command: readonly string[], options: RunOptions): Promise<Outcome> {
  const [program, ...args] = command;
  if (program === undefined) throw new Error('the command is empty');
  const child = spawn(program, args, {
    env: options.env ?? plainEnvironment,
    cwd: options.cwd ?? '/',
    detached: true,
    stdio: 'pipe',
    ...userUnderTest,
  });
  return new Promise((resolve, reject) => {
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    let size = 0;
    let timedOut = false;
    const stop = () => killGroup(child.pid);
    const collect = (into: Buffer[]) => (chunk: Buffer) => {
      size += chunk.length;
      if (size > MAX_OUTPUT) stop();
      else into.push(chunk);
    };
    const timer = setTimeout(() => {
      timedOut = true;
      stop();
    }, options.timeoutMs ?? 30_000);
    child.stdout.on('data', collect(out));
    child.stderr.on('data', collect(err));
    // A program need not read its input.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.stdin ?? '');
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    // What it left behind in its group may hold its pipes open, and then 'close' would wait for ever.
    child.on('exit', () => setTimeout(stop, 200).unref());
    child.on('close', (status, signal) => {
      clearTimeout(timer);
      stop();
      const bytes = Buffer.concat(out);
      resolve({ stdout: bytes.toString(), stderr: Buffer.concat(err).toString(), status, signal, timedOut, bytes });
    });
  });
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Nobody is left in it.
  }
}
