/**
 * Windows on memfds: pieces that are mapped into the sentry, so that a small read or write of a large tmpfs file is one copy to or from the
 * guest instead of a host call and a copy. There are a few for the whole sandbox; they are taken away in turn.
 *
 *     const window = windows.take(contents, fd, offset);       // sets contents.window; null: none to be had
 *     io.put(window.memory, position - window.offset, length); // the caller keeps within the file's size
 *     windows.giveBack(window);                                // when the file ends
 *
 * Invariant: `window.owner.window === window`, or it has no owner and shows nothing.
 */
import { TMPFS_WINDOW_BYTES, TMPFS_WINDOWS_MAX } from '../../limits.ts';
import type { Host, HostFd, HostMemory } from '#platform/contract/host.ts';

export interface WindowOwner {
  window: FileWindow | null;
}

export class FileWindow {
  readonly memory: HostMemory;
  owner: WindowOwner | null = null;
  /** Where in the file it begins. */
  offset = 0;

  constructor(memory: HostMemory) {
    this.memory = memory;
  }
}

export class FileWindows {
  private readonly host: Pick<Host, 'allocate' | 'show'>;
  private readonly windows: FileWindow[] = [];
  /** Whose turn it is to be taken away. */
  private next = 0;

  constructor(host: Pick<Host, 'allocate' | 'show'>) {
    this.host = host;
  }

  /** Shows a piece of `owner`'s file, in place of another piece of it, if there is one, or of somebody else's. */
  take(owner: WindowOwner, fd: HostFd, offset: number): FileWindow | null {
    if (this.host.show === undefined) return null;
    const window = owner.window ?? this.choose();
    this.disown(window);
    if (this.host.show(window.memory, fd, offset) < 0) return null;
    window.owner = owner;
    window.offset = offset;
    owner.window = window;
    return window;
  }

  /** Its file is going: what it shows must not be held. */
  giveBack(window: FileWindow): void {
    this.disown(window);
    this.host.show?.(window.memory, -1, 0);
  }

  private disown(window: FileWindow): void {
    if (window.owner !== null) window.owner.window = null;
    window.owner = null;
  }

  private choose(): FileWindow {
    for (const window of this.windows) if (window.owner === null) return window;
    if (this.windows.length < TMPFS_WINDOWS_MAX) {
      const window = new FileWindow(this.host.allocate(TMPFS_WINDOW_BYTES));
      this.windows.push(window);
      return window;
    }
    // In turn: to keep book of uses would cost every access something.
    this.next = (this.next + 1) % this.windows.length;
    return this.windows[this.next]!;
  }
}
