/**
 * Hostile guests: whatever a guest does, the sandbox lives, the guest gets the errno or the signal that Linux gives, and the next
 * guest finds an ordinary machine. Guests that would harm the machine (see hostile.h) run inside only; the others are compared with Linux.
 */
import { describe, expect, test } from 'vitest';
import { expectSame } from '../harness/expect-same.ts';
import { compileGuest } from '../harness/guests.ts';
import { type Outcome, runInside } from '../harness/run.ts';

const guest = (name: string) => compileGuest(`hostile/${name}.c`);

async function runHostile(name: string, args: readonly string[] = [], timeoutMs = 100_000): Promise<Outcome> {
  const outcome = await runInside([guest(name), ...args], { args: ['--env', 'TSVISOR_HOSTILE=inside'], timeoutMs });
  expect(outcome.timedOut, `no end; so far:\n${outcome.stdout}${outcome.stderr}`).toBe(false);
  expect(outcome.status, `${outcome.stdout}${outcome.stderr}`).toBe(0);
  return outcome;
}

describe('wild arguments in every system call', () => {
  // A hundred numbers at a time: a failure names its neighbourhood.
  test.for([0, 100, 200, 300, 400])('numbers from %i', async (first) => {
    const last = Math.min(first + 99, 450);
    const { stdout } = await runHostile('wild-arguments', [`${first}`, `${last}`]);
    expect(stdout).toContain(`numbers ${first} to ${last} made`);
    expect(stdout).not.toContain(': no');
  });
});

describe('bombs end in an errno', () => {
  test.for(['fork', 'threads', 'descriptors', 'memory', 'queues', 'names'])('%s', async (bomb) => {
    await expectSame([guest('bombs'), bomb], { timeoutMs: 60_000 });
  });

  test('fork without a limit of its own', async () => {
    const { stdout } = await runHostile('bombs', ['fork-unlimited']);
    expect(stdout).toContain('fork ends with EAGAIN');
    expect(stdout).toContain('afterwards: yes');
  });
});

describe('malformed programs', () => {
  test('each is refused, dies or runs as on Linux', async () => {
    await expectSame([guest('broken-elf'), 'cases']);
  });

  test('a thousand mutants', async () => {
    const { stdout } = await runHostile('broken-elf');
    expect(stdout).toContain('ended == runs: yes');
    expect(stdout).toContain('still works: exited 42');
  });

  test('huge arguments and environments', async () => {
    await expectSame([guest('big-arguments')], { timeoutMs: 60_000 });
  });
});

describe('races and wild jumps', () => {
  test('memory that changes while the kernel reads it', async () => {
    await expectSame([guest('races')], { timeoutMs: 60_000 });
  });

  test("jumps into the stub's own code, and mappings over it", async () => {
    const { stdout } = await runHostile('jumps');
    expect(stdout).toContain('crashed > 0: yes');
    expect(stdout).toContain('an ordinary child still works');
  });

  test('every few bytes of the stub as a jump target', async () => {
    const { stdout } = await runHostile('jumps', ['7fffffffc000', '7fffffffd000', '9']);
    expect(stdout).toMatch(/^crashed \d+ ended \d+ late \d+$/m);
  });
});
