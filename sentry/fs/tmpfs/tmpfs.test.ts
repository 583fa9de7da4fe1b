/**
 * What is special about tmpfs: limits, options, the small-file store, seals. What every file system does is in ../file-system.test.ts.
 */
import { emptyAttributes } from '#sentry/abi/stat.ts';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as errno from '#sentry/abi/errno.ts';
import * as abi from '#sentry/abi/fs.ts';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { fallocate, ftruncate } from '../../vfs/attributes.ts';
import { link, mkdir, mknod, symlink, unlink } from '../../vfs/operations.ts';
import { rename } from '../../vfs/rename.ts';
import { World } from '../testing/world.ts';
import { F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE } from './file.ts';
import type { TmpFileDescription } from './file.ts';
import { FileStore } from './file-store.ts';
import { parseTmpfsOptions, TMPFS_DEFAULTS, TmpFileSystem } from './tmpfs.ts';

function world(options: Partial<typeof TMPFS_DEFAULTS> = {}, store?: FileStore): { world: World; host: FakeHost } {
  const host = new FakeHost();
  return { host, world: new World(host, new TmpFileSystem(store ?? new FileStore(host), 1, { ...TMPFS_DEFAULTS, ...options })) };
}

describe('tmpfs', () => {
  it('parses its options', () => {
    expect(parseTmpfsOptions('size=64m,mode=755,uid=5,nr_inodes=1k')).toMatchObject({
      sizeBytes: 64 << 20,
      mode: 0o755,
      uid: 5,
      inodes: 1024,
    });
    expect(parseTmpfsOptions('')).toEqual(TMPFS_DEFAULTS);
    expect(parseTmpfsOptions('size=25%', 4096)).toMatchObject({ sizeBytes: 1024 });
    expect(parseTmpfsOptions('size=x%', 4096)).toBe(-errno.EINVAL);
    expect(parseTmpfsOptions('size=huge')).toBe(-errno.EINVAL);
    expect(parseTmpfsOptions('bogus')).toBe(-errno.EINVAL);
  });

  it('holds its size: writes are cut short, then refused', () => {
    const { world: w } = world({ sizeBytes: 16 * 4096 });
    const file = w.open('/a', abi.O_RDWR | abi.O_CREAT);
    expect(w.write(file, 'x'.repeat(60_000), 0)).toBe(60_000);
    expect(w.write(file, 'y'.repeat(60_000), 60_000)).toBe(16 * 4096 - 60_000);
    expect(w.write(file, 'z', 16 * 4096)).toBe(-errno.ENOSPC);
    expect(w.write(file, 'z', 100)).toBe(1);
    expect(fallocate(w.root, file, 0, 0, 1 << 20)).toBe(-errno.ENOSPC);
    expect(ftruncate(w.root, file, 1 << 20)).toBe(0);
    expect(ftruncate(w.root, file, 0)).toBe(0);
    expect(w.write(file, 'again', 0)).toBe(5);
    file.release();
  });

  it('holds its number of inodes, counting links', () => {
    const { world: w } = world({ inodes: 4 });
    w.writeFile('/a', '');
    expect(link(w.root, null, '/a', null, '/b', 0)).toBe(0);
    expect(mkdir(w.root, null, '/d', 0o755)).toBe(0);
    expect(symlink(w.root, 'x', null, '/l')).toBe(-errno.ENOSPC);
    expect(w.tryOpen('/c', abi.O_CREAT | abi.O_WRONLY)).toBe(-errno.ENOSPC);
    expect(unlink(w.root, null, '/b')).toBe(0);
    expect(w.tryOpen('/c', abi.O_CREAT | abi.O_WRONLY)).toBe(0);
  });

  it('needs no descriptor for small files, and none beyond its budget', () => {
    const host = new FakeHost();
    const store = new FileStore(host, 2);
    const w = new World(host, new TmpFileSystem(store, 1));
    for (let i = 0; i < 100; i++) w.writeFile(`/s${i}`, 'x'.repeat(i * 160));
    expect(host.openDescriptors()).toEqual([]);
    w.writeFile('/b1', 'x'.repeat(20_000));
    expect(host.openDescriptors().length).toBe(1);
    // Half the budget is gone: medium files are small from now on.
    for (let i = 0; i < 30; i++) w.writeFile(`/m${i}`, String.fromCharCode(65 + i).repeat(2000 * i));
    expect(host.openDescriptors().length).toBe(1);
    for (let i = 0; i < 30; i++) expect(w.readFile(`/m${i}`)).toBe(String.fromCharCode(65 + i).repeat(2000 * i));
    w.writeFile('/b2', 'x'.repeat(70_000));
    const file = w.open('/b3', abi.O_RDWR | abi.O_CREAT);
    expect(w.write(file, 'x'.repeat(70_000), 0)).toBe(-errno.ENOSPC);
    expect(file.mappable(true)).toBe(-errno.ENFILE);
    unlink(w.root, null, '/b1');
    expect(w.write(file, 'x'.repeat(70_000), 0)).toBe(70_000);
    file.release();
    for (let i = 0; i < 100; i++) expect(w.readFile(`/s${i}`)).toBe('x'.repeat(i * 160));
  });

  it('maps what it holds', () => {
    const { world: w, host } = world();
    w.writeFile('/a', 'mapped');
    const file = w.open('/a', abi.O_RDWR);
    const mapping = file.mappable(true);
    if (typeof mapping === 'number') throw new Error('not mappable');
    const memory = host.mapShared(mapping.hostFd, mapping.hostOffset, 4096);
    if (typeof memory === 'number') throw new Error('not mapped');
    expect(memory.latin1(0, 6)).toBe('mapped');
    expect(file.mappable(false)).toBe(mapping);
    w.write(file, 'M', 0);
    expect(memory.latin1(0, 6)).toBe('Mapped');
    file.release();
    unlink(w.root, null, '/a');
    expect(host.openDescriptors()).toEqual([]);
  });

  it('seals', () => {
    const { world: w } = world();
    const file = w.open('/', abi.O_TMPFILE | abi.O_RDWR) as TmpFileDescription;
    const { tmpFile } = file;
    expect(tmpFile.addSeals(F_SEAL_GROW)).toBe(-errno.EPERM);
    tmpFile.seals = 0;
    w.write(file, '1234', 0);
    expect(tmpFile.addSeals(F_SEAL_GROW | F_SEAL_SHRINK)).toBe(0);
    expect(w.write(file, '12345', 0)).toBe(-errno.EPERM);
    expect(w.write(file, 'abcd', 0)).toBe(4);
    expect(ftruncate(w.root, file, 3)).toBe(-errno.EPERM);
    expect(ftruncate(w.root, file, 5)).toBe(-errno.EPERM);
    expect(tmpFile.addSeals(F_SEAL_WRITE | F_SEAL_SEAL)).toBe(0);
    expect(w.write(file, 'x', 0)).toBe(-errno.EPERM);
    expect(tmpFile.addSeals(F_SEAL_GROW)).toBe(-errno.EPERM);
    file.release();
  });

  it('leaves whiteouts behind when asked to', () => {
    const { world: w } = world();
    w.writeFile('/a', 'x');
    expect(rename(w.root, null, '/a', null, '/b', abi.RENAME_WHITEOUT)).toBe(0);
    expect(w.stat('/a').mode).toBe(abi.S_IFCHR);
    expect(w.stat('/a').rdev).toBe(0);
    expect(mknod(w.user(7), null, '/tmp-no', abi.S_IFCHR, 0)).toBe(0);
  });

  it('reads what was written, whatever the order of writes, truncations and holes', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('write' as const), at: fc.nat(30_000), length: fc.integer({ min: 1, max: 9000 }) }),
      fc.record({ kind: fc.constant('truncate' as const), at: fc.nat(30_000), length: fc.constant(0) }),
      fc.record({ kind: fc.constant('punch' as const), at: fc.nat(30_000), length: fc.integer({ min: 1, max: 9000 }) }),
      fc.record({ kind: fc.constant('allocate' as const), at: fc.nat(20_000), length: fc.integer({ min: 1, max: 9000 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const { world: w } = world();
        const file = w.open('/f', abi.O_RDWR | abi.O_CREAT);
        let model = '';
        steps.forEach(({ kind, at, length }, i) => {
          const padded = model.padEnd(at, '\0');
          let result: number;
          if (kind === 'write') {
            const text = String.fromCharCode(65 + i).repeat(length);
            result = w.write(file, text, at) - length;
            model = padded.slice(0, at) + text + model.slice(at + length);
          } else if (kind === 'truncate') {
            result = ftruncate(w.root, file, at);
            model = padded.slice(0, at);
          } else if (kind === 'punch') {
            result = fallocate(w.root, file, 3, at, length);
            if (at < model.length) model = (model.slice(0, at) + '\0'.repeat(length)).slice(0, model.length) + model.slice(at + length);
          } else {
            result = fallocate(w.root, file, 0, at, length);
            model = model.padEnd(at + length, '\0');
          }
          expect(result).toBe(0);
          expect(file.inode.getattr(stat)).toBe(0);
          expect(stat.size).toBe(model.length);
          expect(w.read(file)).toBe(model);
        });
        file.release();
      }),
      { numRuns: 150 },
    );
  });
});

const stat = emptyAttributes();
