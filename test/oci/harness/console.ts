/** The other side of --console-socket: receives the terminal of a container and types at it (console.c does the work). */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { compileGuest } from '../../harness/guests.ts';

export class Console implements Disposable {
  /** For --console-socket. In a directory of its own: the path of a socket may not be long. */
  readonly socket: string;
  /** What came from the terminal so far. */
  screen = '';
  /** What console.c says about itself. */
  said = '';
  /** The container's side is closed. */
  readonly ended: Promise<void>;
  readonly #directory: string;
  readonly #child: ChildProcessWithoutNullStreams;

  private constructor(size?: string) {
    this.#directory = mkdtempSync(join(tmpdir(), 'tsvisor-console-'));
    this.socket = join(this.#directory, 'socket');
    this.#child = spawn(compileGuest('oci/harness/console.c'), [this.socket, ...(size === undefined ? [] : [size])], { stdio: 'pipe' });
    this.#child.stdout.on('data', (chunk: Buffer) => (this.screen += chunk.toString('latin1')));
    this.#child.stderr.on('data', (chunk: Buffer) => (this.said += chunk.toString('latin1')));
    this.#child.stdin.on('error', () => undefined);
    this.ended = new Promise((resolve) => {
      this.#child.on('close', () => resolve());
    });
  }

  /** Listens. `size` (ROWSxCOLUMNS) is set as soon as the terminal has come. */
  static async listen(size?: string): Promise<Console> {
    const made = new Console(size);
    await made.#until(() => made.said.includes('listening'), 'listening');
    return made;
  }

  send(text: string): void {
    this.#child.stdin.write(text);
  }

  /** Makes the window 50x132. */
  resize(): void {
    this.#child.kill('SIGUSR1');
  }

  /** Waits for `text` to be on the screen. */
  expect(text: string): Promise<void> {
    return this.#until(() => this.screen.includes(text), JSON.stringify(text));
  }

  async #until(condition: () => boolean, what: string): Promise<void> {
    for (const end = Date.now() + 10_000; Date.now() < end; await sleep(10)) if (condition()) return;
    throw new Error(`no ${what} came; the screen is ${JSON.stringify(this.screen)}, ${this.said}`);
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
