/**
 * A program that runs while a test does, such as a server: started until it says that it is ready, killed with everything it started at the end.
 *
 *     await using server = await inBackground(insideCommand(['sh', '-c', 'serve & echo ready; wait']), { ready: 'ready\n' });
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { plainEnvironment, userUnderTest } from './run.ts';

const READY_WITHIN_MS = 30_000;

export interface BackgroundOptions {
  /** What it writes to standard output when it can be used. */
  readonly ready: string;
  readonly cwd?: string;
}

export class Background implements AsyncDisposable {
  readonly child: ChildProcess;
  private text = '';

  constructor(command: readonly string[], cwd: string) {
    const [program, ...args] = command;
    const stdio = ['ignore', 'pipe', 'inherit'] as const;
    this.child = spawn(program!, args, { env: plainEnvironment, cwd, detached: true, stdio: [...stdio], ...userUnderTest });
    this.child.stdout!.on('data', (data: Buffer) => (this.text += data.toString()));
  }

  /** Standard output so far. */
  get output(): string {
    return this.text;
  }

  get pid(): number {
    return this.child.pid!;
  }

  /** Waits until `text` was written. */
  async said(text: string): Promise<void> {
    for (const until = Date.now() + READY_WITHIN_MS; !this.text.includes(text); ) {
      if (this.child.exitCode !== null || Date.now() > until) throw new Error(`never said ${JSON.stringify(text)}, but: ${this.text}`);
      await new Promise((done) => setTimeout(done, 20));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((done) => this.child.once('exit', done));
    process.kill(-this.pid, 'SIGKILL');
    await ended;
  }
}

export async function inBackground(command: readonly string[], { ready, cwd = '/' }: BackgroundOptions): Promise<Background> {
  const started = new Background(command, cwd);
  try {
    await started.said(ready);
  } catch (error) {
    await started[Symbol.asyncDispose]();
    throw error;
  }
  return started;
}
