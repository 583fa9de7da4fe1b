/**
 * Every row with senseless arguments in a world with a few files: no handler may throw (an exception ends the sandbox), whatever it answers.
 * The arguments follow from a fixed seed, so a failure is reproducible.
 */
import { describe, expect, it } from 'vitest';
import { BUFFER, FileWorld, PATH, PATH2 } from '../../test/unit/file-world.ts';
import { ALL_ROWS } from './table.ts';

/** Calls that end or replace the caller, or need a program to run; and those that make the fake platform build gigabytes page by page. */
const SKIPPED = new Set(['exit', 'exit_group', 'rt_sigreturn', 'execve', 'execveat', 'kill', 'tkill', 'tgkill', 'brk', 'mmap', 'mremap']);
const ROWS = ALL_ROWS.filter(({ name }) => !SKIPPED.has(name));
const VALUES = [
  0,
  1,
  2,
  3,
  4,
  5,
  6,
  8,
  16,
  -1,
  -100,
  64,
  1024,
  2048,
  4096,
  0x5401,
  0o100,
  0o2000000,
  0o100644,
  0x7fff_ffff,
  -0x8000_0000,
  2 ** 32 - 1,
  2 ** 47 - 1,
  2 ** 47,
  2 ** 53,
  2 ** 63,
  PATH,
  PATH2,
  BUFFER,
  BUFFER + 4094,
];
const PATHS = ['/a', '/d', '/d/x', '', '/missing', 'user.x', '/p', 'tmpfs', '/a/b', 'a', 'x'.repeat(300)];
const WORLDS = 60;
const CALLS = 100;

class Chance {
  private seed: number;
  constructor(seed: number) {
    this.seed = seed;
  }
  below(limit: number): number {
    this.seed = (Math.imul(this.seed, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return (this.seed >>> 8) % limit;
  }
  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
}

function play(seed: number): void {
  const chance = new Chance(seed);
  const world = new FileWorld();
  const task = world.process(null, chance.below(3) === 0 ? 1000 : 0);
  world.open(task, '/a');
  world.now(task, 'mkdir', world.path(task, '/d'), 0o777);
  world.open(task, '/d', 0);
  world.now(task, 'pipe2', BUFFER, 0o4000);
  world.now(task, 'memfd_create', world.path(task, 'm'), 2);
  for (let i = 0; i < CALLS; i++) {
    world.path(task, chance.of(PATHS), chance.below(2) === 0 ? PATH : PATH2);
    if (chance.below(4) === 0)
      world.poke(
        task,
        BUFFER,
        Array.from({ length: 8 }, () => chance.of(VALUES)),
      );
    const row = chance.of(ROWS);
    const values = Object.keys(row.args).map(() => chance.of(VALUES));
    let outcome: ReturnType<FileWorld['call']>;
    try {
      outcome = world.call(task, row.name, ...values);
    } catch (error) {
      throw new Error(`seed ${seed}: ${row.name}(${values.join(', ')})`, { cause: error });
    }
    // It waits, or a signal ended it.
    if (typeof outcome !== 'number') return;
  }
}

describe('wild arguments', () => {
  it('make no handler throw', () => {
    expect(() => {
      for (let seed = 1; seed <= WORLDS; seed++) play(seed);
    }).not.toThrow();
  });
});
