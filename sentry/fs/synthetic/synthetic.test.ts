/** Text that is made up on demand: kept for its reader as long as there is room. */
import { expect, test } from 'vitest';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { O_RDONLY } from '#sentry/abi/fs.ts';
import { SYNTHETIC_TEXT_MAX } from '../../limits.ts';
import { KernelIo } from '../../mm/io.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import { World } from '../testing/world.ts';
import { StaticDirectory, SyntheticFileSystem, TextFile } from './synthetic.ts';

class Texts extends SyntheticFileSystem {
  readonly type = 'texts';
  readonly magic = 1;
  made = 0;
  readonly root = new StaticDirectory(this, {
    small: new TextFile(this, () => this.make(10)),
    large: new TextFile(this, () => this.make(SYNTHETIC_TEXT_MAX + 10)),
  });

  private make(length: number): string {
    this.made++;
    return 'x'.repeat(length - 1).concat('\n');
  }
}

test('a text is kept between reads, unless it is too large', () => {
  const host = new FakeHost();
  const texts = new Texts(1, host);
  const world = new World(host, texts);
  const buffer = host.allocate(64);
  const read = (file: FileDescription, position: number): number => file.read(new KernelIo(buffer, 0, 64), position, world.root);
  const small = world.open('/small', O_RDONLY);
  const large = world.open('/large', O_RDONLY);
  expect(texts.made).toBe(0);
  expect([read(small, 0), read(small, 4), read(small, 10)]).toEqual([10, 6, 0]);
  expect(texts.made).toBe(1);
  expect([read(large, 0), read(large, SYNTHETIC_TEXT_MAX)]).toEqual([64, 10]);
  expect(texts.made).toBe(3);
  small.release();
  large.release();
});
