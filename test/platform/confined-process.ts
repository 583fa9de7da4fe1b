/**
 * A sentry on the platform named that confines itself in the order the platform's README asks for, then makes guests do everything, while V8 collects garbage.
 *
 * Exits with 0, or prints what went wrong.
 */
import { openSync, writeSync } from 'node:fs';
import { ConfinementReport } from '../../bin/confine/report.ts';
import { becomeUser, noNewPrivileges, setDumpable } from '../../bin/confine/credentials.ts';
import { enterEmptyRoot } from '../../bin/confine/empty-root.ts';
import { restrictFiles } from '../../bin/confine/landlock.ts';
import { installFilter } from '../../bin/confine/seccomp.ts';
import { sentryFilter } from '../../platform/bpf/sentry-filter.ts';
import { exitNow } from '../../platform/host/setup-calls.ts';
import { createHost } from '../../platform/host/host.ts';
import { Assembler } from '../../platform/stub/assembler.ts';
import { createNamedPlatform } from './create-platform.ts';

const NOBODY = 65534;
const report = new ConfinementReport();
const host = createHost();

if (process.getuid!() === 0) {
  enterEmptyRoot(report);
  becomeUser(NOBODY, 0, report);
  setDumpable(1);
}
noNewPrivileges(report);
restrictFiles([], report);
const platform = createNamedPlatform(process.argv[2], host);
installFilter(sentryFilter(platform.name), report);

function fail(message: string): never {
  writeSync(1, `${message}\n${report.lines().join('\n')}\n`);
  return exitNow(1);
}

function expectRefused(what: string, run: () => unknown): void {
  try {
    run();
  } catch {
    return;
  }
  fail(`${what} was possible`);
}

const events = new Int32Array(64);
const a = new Assembler();
a.label('loop');
a.movImm32('rax', 110);
a.syscall();
a.jmp('loop');
const code = a.finish();
const memory = host.allocate(4096);
memory.bytes.set(code);
const first = platform.createSpace();
if (typeof first === 'number') fail(`createSpace ${first}`);
if (first.mmap(0x40_0000, 4096, 7, 0x32, -1, 0) !== 0) fail('mmap');
if (first.space.write(0x40_0000, memory, 0, code.length) !== code.length) fail('write');
first.registers()[32] = 0x40_0000;
first.registersChanged();

const garbage: object[] = [];
for (let round = 0; round < 30; round += 1) {
  const child = round % 2 === 0 ? first.fork() : first.spawn();
  if (typeof child === 'number') fail(`clone ${child}`);
  child.resume();
  for (let call = 0; call < 200; call += 1) {
    const thread = platform.wait();
    if (thread === null) {
      host.takeEvents(events);
      continue;
    }
    for (let i = 0; i < 200; i += 1) garbage.push({ call, i });
    if (garbage.length > 100_000) garbage.length = 0;
    thread.setResult(call);
    thread.resume();
  }
  host.setAlarm(host.monotonicNs() + 1e6);
  child.interrupt();
  for (;;) if (platform.wait() === child) break;
  child.release();
}
const fd = host.memfd('after');
if (host.ftruncate(fd, 4096) !== 0 || first.mmap(0x50_0000, 4096, 3, 1, fd, 0) !== 0) fail('memfd');
if (first.space.read(0x40_0000, memory, 0, 16) !== 16) fail('read');
expectRefused('open', () => openSync('/', 'r'));
platform.destroy();
writeSync(1, `${report.missing.length === 0 ? 'confined' : report.lines().join('\n')}\n`);
// Not through Node: its event loop makes calls (io_uring_enter) that the filter refuses, and aborts.
exitNow(0);
