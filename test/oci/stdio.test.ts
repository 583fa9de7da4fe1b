/** Standard streams of every kind that clients hand over: pipes, files, fifos, and a terminal over --console-socket. Complete to the last byte. */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Console } from './harness/console.ts';
import { newContainer, runShell, type TestContainer } from './harness/container.ts';
import { runtimeBinary, startVerb, stateRoot } from './harness/runtime.ts';

const MEGABYTES = 10;
const LARGE = `dd if=/dev/zero bs=1M count=${MEGABYTES} 2>/dev/null | tr '\\000' x; echo; echo last`;
const largeHash = createHash('sha256')
  .update(`${'x'.repeat(MEGABYTES << 20)}\nlast\n`)
  .digest('hex');

function hash(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

describe('pipes', () => {
  test('standard input reaches the process, and its end too', async () => {
    await using box = await newContainer({ args: ['cat'] });
    expect(await box.run([], { stdin: 'one\ntwo\n' })).toMatchObject({ status: 0, stdout: 'one\ntwo\n' });
  });

  test('create keeps the streams for the container', async () => {
    await using box = await newContainer({ shell: 'read line; echo "got $line"; echo to-stderr >&2' });
    await box.createAndStart([], { stdin: 'hello\n' });
    expect(await box.output()).toBe('got hello\n');
    expect(box.streams.stderr).toBe('to-stderr\n');
  });

  test(`${MEGABYTES} MB, whose last byte comes after the process has ended`, async () => {
    await using box = await newContainer({ shell: LARGE });
    await box.createAndStart();
    await box.output();
    expect(hash(box.streams.bytes)).toBe(largeHash);
    const outcome = await box.delete(['--force']);
    expect(outcome.status).toBe(0);
  });

  test('the same with run', async () => {
    await using box = await newContainer({ shell: LARGE });
    const outcome = await box.run();
    expect(hash(outcome.bytes)).toBe(largeHash);
  });

  test('a reader that is gone ends a writer by SIGPIPE, not the container', async () => {
    await using box = await newContainer({ shell: 'sleep 0.3; yes | cat; sleep 300' });
    await box.createAndStart();
    box.streams.child.stdout.destroy();
    await new Promise((resolve) => setTimeout(resolve, 800));
    expect(await box.state()).toMatchObject({ status: 'running' });
  });
});

describe('files and fifos', () => {
  /** Starts `create` with files of the host as its streams, then the container, and waits for its end. */
  async function throughFiles(box: TestContainer, stdin: number, stdout: number): Promise<void> {
    const args = ['--root', stateRoot, 'create', '--bundle', box.bundle, box.id];
    const child = spawn(runtimeBinary, args, { stdio: [stdin, stdout, stdout] });
    expect(await new Promise((resolve) => child.on('exit', resolve))).toBe(0);
    expect((await box.start()).status).toBe(0);
    await box.until('stopped');
  }

  test('a file for output', async () => {
    await using box = await newContainer({ shell: LARGE });
    const path = join(box.bundle, 'out');
    const [zero, out] = [openSync('/dev/null', 'r'), openSync(path, 'w')];
    await throughFiles(box, zero, out);
    for (const fd of [zero, out]) closeSync(fd);
    expect(hash(readFileSync(path))).toBe(largeHash);
  });

  test('a file for input, read from where it stands', async () => {
    await using box = await newContainer({ args: ['cat'] });
    writeFileSync(join(box.bundle, 'in'), 'from a file\n');
    const [input, out] = [openSync(join(box.bundle, 'in'), 'r'), openSync(join(box.bundle, 'out'), 'a')];
    await throughFiles(box, input, out);
    for (const fd of [input, out]) closeSync(fd);
    expect(box.read('out')).toBe('from a file\n');
  });

  test('fifos, as containerd makes them', async () => {
    await using box = await newContainer({ shell: `read line; echo "got $line"; ${LARGE}` });
    const [input, output] = [join(box.bundle, 'stdin'), join(box.bundle, 'stdout')];
    expect(spawnSync('mkfifo', [input, output]).status).toBe(0);
    // The shim opens both ends itself so that no open has to wait.
    const [inBoth, outBoth] = [openSync(input, 'r+'), openSync(output, 'r+')];
    const reader = await open(output, 'r');
    const received: Buffer[] = [];
    const stream = reader.createReadStream();
    stream.on('data', (chunk) => received.push(Buffer.from(chunk)));
    const [inside, out] = [openSync(input, 'r'), openSync(output, 'w')];
    writeFileSync(input, 'hello\n');
    await throughFiles(box, inside, out);
    for (const fd of [inside, out, inBoth, outBoth]) closeSync(fd);
    await new Promise((resolve) => stream.on('close', resolve));
    const all = Buffer.concat(received);
    expect(all.subarray(0, 10).toString()).toBe('got hello\n');
    expect(hash(all.subarray(10))).toBe(largeHash);
  });

  test('no other descriptor of the caller', async () => {
    const outcome = await runShell('ls /proc/self/fd');
    // Descriptor 3 is that of the listing itself.
    expect(outcome.stdout.trim().split('\n'), outcome.stderr).toEqual(['0', '1', '2', '3']);
  });

  test('--preserve-fds', async () => {
    await using box = await newContainer({ shell: 'cat <&3; echo more >&4' });
    writeFileSync(join(box.bundle, 'in'), 'third\n');
    const [input, out] = [openSync(join(box.bundle, 'in'), 'r'), openSync(join(box.bundle, 'out'), 'w')];
    const args = ['--root', stateRoot, 'run', '--bundle', box.bundle, '--preserve-fds', '2', box.id];
    const child = spawn(runtimeBinary, args, { stdio: ['ignore', 'pipe', 'inherit', input, out] });
    let said = '';
    (child.stdout as NodeJS.ReadableStream).on('data', (chunk: Buffer) => (said += chunk.toString()));
    expect(await new Promise((resolve) => child.on('close', resolve))).toBe(0);
    for (const fd of [input, out]) closeSync(fd);
    expect(said).toBe('third\n');
    expect(box.read('out')).toBe('more\n');
  });
});

describe('a terminal over --console-socket', () => {
  async function withTerminal(shell: string): Promise<TestContainer> {
    return newContainer({ shell, edit: (spec) => (spec.process.terminal = true) });
  }

  test('all three streams are one terminal, which is the controlling one', async () => {
    await using box = await withTerminal(
      'test -t 0 && test -t 1 && test -t 2 && echo three; echo tty > /dev/tty; tty; ls -l /dev/console | cut -c1',
    );
    using console = await Console.listen();
    await box.createAndStart(['--console-socket', console.socket]);
    await console.ended;
    expect(console.screen).toBe('three\r\ntty\r\n/dev/pts/0\r\nc\r\n');
  });

  test('typing, echo, Ctrl-C and Ctrl-D', async () => {
    await using box = await withTerminal('trap "echo caught" INT; echo ready; while read line; do echo "got $line"; done; echo end');
    using console = await Console.listen();
    await box.createAndStart(['--console-socket', console.socket]);
    await console.expect('ready');
    console.send('hello\r');
    await console.expect('got hello');
    console.send('\x03');
    await console.expect('caught');
    await box.kill('KILL');
    await console.ended;
  });

  test('the window size of the client, and its changes', async () => {
    await using box = await withTerminal('read line; stty size; trap "stty size; exit" WINCH; echo ready; while :; do sleep 0.05; done');
    using console = await Console.listen('33x101');
    await box.createAndStart(['--console-socket', console.socket]);
    console.send('\r');
    await console.expect('33 101');
    await console.expect('ready');
    console.resize();
    await console.expect('50 132');
    await console.ended;
  });

  test('consoleSize', async () => {
    await using box = await newContainer({
      shell: 'stty size',
      edit(spec) {
        spec.process.terminal = true;
        spec.process.consoleSize = { height: 40, width: 90 };
      },
    });
    using console = await Console.listen();
    await box.createAndStart(['--console-socket', console.socket]);
    await console.ended;
    expect(console.screen).toBe('40 90\r\n');
  });

  test('the end of the client hangs the terminal up', async () => {
    await using box = await withTerminal('trap "exit 5" HUP; echo ready; while :; do sleep 0.05; done');
    const console = await Console.listen();
    await box.createAndStart(['--console-socket', console.socket]);
    await console.expect('ready');
    console[Symbol.dispose]();
    await box.until('stopped');
  });

  test('create without a socket is refused', async () => {
    await using box = await withTerminal('true');
    const outcome = await box.create();
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toMatch(/cannot allocate tty if .* detach/);
  });

  test('a socket without a terminal is refused', async () => {
    await using box = await newContainer();
    using console = await Console.listen();
    const outcome = await box.create(['--console-socket', console.socket]);
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toMatch(/cannot use (a )?console socket/);
  });

  test('exec --tty', async () => {
    await using box = await newContainer();
    await box.createAndStart();
    using console = await Console.listen();
    const exec = startVerb([
      'exec',
      '--tty',
      '--detach',
      '--console-socket',
      console.socket,
      box.id,
      'sh',
      '-c',
      'tty; test -t 0 && echo yes; read x',
    ]);
    expect(await exec.exited, exec.stderr).toBe(0);
    await console.expect('yes');
    console.send('\r');
    await console.ended;
  });
});
