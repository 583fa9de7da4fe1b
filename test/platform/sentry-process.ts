/**
 * A process with a platform of its own, named first on its command line, for tests that kill it or run it as another user.
 *
 * `serve N`: serves N calls of a guest and exits with 0. `spin`: prints the host pids of two computing guests and waits for ever.
 */
import type { GuestThread } from '../../platform/contract/platform.ts';
import { createHost } from '../../platform/host/host.ts';
import { Assembler } from '../../platform/stub/assembler.ts';
import { createNamedPlatform } from './create-platform.ts';

/** A thread of either platform: both keep the host thread's id. */
type HostThread = GuestThread & { readonly tid: number };

const [name, mode = 'serve', count = '3'] = process.argv.slice(2);
const host = createHost();
const platform = createNamedPlatform(name, host);
const memory = host.allocate(4096);

function start(write: (a: Assembler) => void): HostThread {
  const a = new Assembler();
  write(a);
  const code = a.finish();
  const thread = platform.createSpace();
  if (typeof thread === 'number') throw new Error(`createSpace: ${thread}`);
  if (thread.mmap(0x40_0000, 4096, 7, 0x32, -1, 0) !== 0) throw new Error('mmap');
  memory.bytes.set(code);
  if (thread.space.write(0x40_0000, memory, 0, code.length) !== code.length) throw new Error('write');
  thread.registers()[32] = 0x40_0000;
  thread.registersChanged();
  thread.resume();
  return thread as HostThread;
}

if (mode === 'spin') {
  const spin = (a: Assembler): void => {
    a.label('spin');
    a.jmp('spin');
  };
  const first = start(spin);
  const second = start(spin);
  process.stdout.write(`${first.tid} ${second.tid}\n`);
  for (;;) platform.wait();
}

start((a) => {
  a.label('loop');
  a.movImm32('rax', 110);
  a.syscall();
  a.jmp('loop');
});
for (let served = 0; served < Number(count); ) {
  const thread = platform.wait();
  if (thread === null) continue;
  thread.setResult(served);
  thread.resume();
  served += 1;
}
platform.destroy();
