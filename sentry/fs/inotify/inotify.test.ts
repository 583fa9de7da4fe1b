import { describe, expect, test } from 'vitest';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { EAGAIN, EEXIST, EINVAL } from '#sentry/abi/errno.ts';
import {
  IN_ALL_EVENTS,
  IN_CREATE,
  IN_DELETE,
  IN_IGNORED,
  IN_ISDIR,
  IN_MASK_ADD,
  IN_MASK_CREATE,
  IN_MODIFY,
  IN_MOVED_FROM,
  IN_MOVED_TO,
  IN_ONESHOT,
  IN_OPEN,
  IN_Q_OVERFLOW,
  InotifyEvent,
} from '#sentry/abi/event-files.ts';
import { READABLE } from '#sentry/abi/fs.ts';
import { Dentry } from '../../vfs/dentry.ts';
import { happened, happenedIn, removed, renamed } from '../../vfs/watchers.ts';
import { INOTIFY_EVENTS_MAX } from '../anonymous/limits.ts';
import { Bench, Listener } from '../anonymous/testing.ts';
import { InotifyFile } from './inotify-file.ts';

interface Seen {
  readonly wd: number;
  readonly mask: number;
  readonly cookie: number;
  readonly name: string;
}

class Fixture extends Bench {
  readonly inotify = new InotifyFile(this.files, 0);
  readonly directory = new Dentry('dir', null, this.files.pipefs.inode(0o40755, 0, 0)).acquire();
  readonly file = new Dentry('file', this.directory, this.files.pipefs.inode(0o100644, 0, 0)).acquire();

  constructor() {
    super(new FakeHost());
  }

  events(): Seen[] {
    const text = this.read(this.inotify, 1 << 19);
    const length = typeof text === 'number' ? 0 : text.length;
    const seen: Seen[] = [];
    for (let at = 0; at < length; ) {
      const { wd, mask, cookie, len } = InotifyEvent.decode(this.memory.view, at);
      const name = this.memory.latin1(at + InotifyEvent.size, at + InotifyEvent.size + len);
      seen.push({ wd, mask, cookie, name: name.replace(/\0+$/u, '') });
      at += InotifyEvent.size + len;
    }
    return seen;
  }
}

describe('inotify', () => {
  test('tells of a file by itself and by its name in a directory', () => {
    const f = new Fixture();
    expect(f.inotify.watch(f.directory, IN_ALL_EVENTS)).toBe(1);
    expect(f.inotify.watch(f.file, IN_MODIFY)).toBe(2);
    const news = new Listener(f.inotify.queue, READABLE);
    happened(f.file, IN_MODIFY);
    happened(f.file, IN_OPEN);
    expect(news.count).toBe(3);
    expect(f.events()).toEqual([
      { wd: 1, mask: IN_MODIFY, cookie: 0, name: 'file' },
      { wd: 2, mask: IN_MODIFY, cookie: 0, name: '' },
      { wd: 1, mask: IN_OPEN, cookie: 0, name: 'file' },
    ]);
    expect(f.read(f.inotify, 100)).toBe(-EAGAIN);
    happened(f.file, IN_OPEN);
    expect(f.read(f.inotify, 16)).toBe(-EINVAL);
    f.inotify.release();
  });

  test('names come, go and move', () => {
    const f = new Fixture();
    f.inotify.watch(f.directory, IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO);
    happenedIn(f.directory, IN_CREATE, 'sub', true);
    renamed(f.directory, 'a', f.directory, 'b', f.file.inode!, null);
    removed(f.directory, 'b', f.file.inode!);
    const [create, from, to, gone] = f.events();
    expect(create).toEqual({ wd: 1, mask: IN_CREATE | IN_ISDIR, cookie: 0, name: 'sub' });
    expect([from!.mask, from!.name, to!.mask, to!.name]).toEqual([IN_MOVED_FROM, 'a', IN_MOVED_TO, 'b']);
    expect(from!.cookie).toBe(to!.cookie);
    expect(gone).toEqual({ wd: 1, mask: IN_DELETE, cookie: 0, name: 'b' });
    f.inotify.release();
  });

  test('changes, ends and refuses watches', () => {
    const f = new Fixture();
    expect(f.inotify.watch(f.file, IN_OPEN)).toBe(1);
    expect(f.inotify.watch(f.file, IN_MODIFY | IN_MASK_CREATE)).toBe(-EEXIST);
    expect(f.inotify.watch(f.file, IN_MODIFY | IN_MASK_ADD)).toBe(1);
    happened(f.file, IN_OPEN);
    happened(f.file, IN_OPEN); // the same as the last one in the queue
    happened(f.file, IN_MODIFY);
    expect(f.events().map(({ mask }) => mask)).toEqual([IN_OPEN, IN_MODIFY]);
    f.inotify.watch(f.file, IN_MODIFY | IN_ONESHOT);
    happened(f.file, IN_MODIFY);
    happened(f.file, IN_MODIFY);
    expect(f.events().map(({ mask }) => mask)).toEqual([IN_MODIFY, IN_IGNORED]);
    expect(f.inotify.unwatch(1)).toBe(-EINVAL);
    expect(f.file.inode!.attachments?.size).toBe(0);
  });

  test('has a bounded queue', () => {
    const f = new Fixture();
    f.inotify.watch(f.directory, IN_CREATE);
    for (let i = 0; i < INOTIFY_EVENTS_MAX + 10; i++) happenedIn(f.directory, IN_CREATE, `${i}`, false);
    const seen: Seen[] = [];
    for (let more = f.events(); more.length > 0; more = f.events()) seen.push(...more);
    expect(seen).toHaveLength(INOTIFY_EVENTS_MAX + 1);
    expect(seen.at(-1)).toMatchObject({ wd: -1, mask: IN_Q_OVERFLOW });
    f.inotify.release();
  });
});
