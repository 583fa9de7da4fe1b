/**
 * What the host has counted for a container's cgroup, read by a sentry that cannot open files any more: the descriptors are opened while it
 * can, and each look is one pread(2).
 *
 *     const meter = openMeter(cgroup);      // before isolation
 *     meter.begin();                        // before the first guest process: what is in use by then is the sandbox's own
 *     meter.memoryBytes
 *
 * What the sentry comes to use later counts as the guests', like kernel memory in a container of Linux. A file that the host lacks makes its figure null.
 */
import { constants, openSync, readSync } from 'node:fs';
import type { HostCgroup } from './host-cgroup.ts';

/** Longest of the texts: memory.events. */
const TEXT_MAX = 1024;

interface MeterFiles {
  readonly current: string;
  readonly peak: string;
  readonly events: string;
}

const FILES: Readonly<Record<1 | 2, MeterFiles>> = {
  1: { current: 'memory.usage_in_bytes', peak: 'memory.max_usage_in_bytes', events: 'memory.oom_control' },
  2: { current: 'memory.current', peak: 'memory.peak', events: 'memory.events' },
};

export class CgroupMeter {
  private readonly current: number | null;
  private readonly peak: number | null;
  private readonly events: number | null;
  private readonly buffer = Buffer.alloc(TEXT_MAX);
  /** In use before there was a guest. */
  private ownBytes = 0;

  /** `directory`: of the memory controller, or null where the container has none. */
  constructor(directory: { readonly path: string; readonly version: 1 | 2 } | null) {
    const open = (name: keyof MeterFiles): number | null =>
      directory === null ? null : tryOpen(`${directory.path}/${FILES[directory.version][name]}`);
    this.current = open('current');
    this.peak = open('peak');
    this.events = open('events');
  }

  begin(): void {
    this.ownBytes = this.number(this.current) ?? 0;
  }

  /** Bytes guests use, with what the sentry uses on their behalf. */
  get memoryBytes(): number | null {
    return this.withoutOwn(this.current);
  }

  get memoryPeakBytes(): number | null {
    return this.withoutOwn(this.peak);
  }

  /** Processes killed because memory was exhausted. */
  get oomKills(): number | null {
    const found = /^oom_kill (\d+)$/m.exec(this.text(this.events));
    return found === null ? null : Number(found[1]);
  }

  private withoutOwn(fd: number | null): number | null {
    const bytes = this.number(fd);
    return bytes === null ? null : Math.max(0, bytes - this.ownBytes);
  }

  private number(fd: number | null): number | null {
    const text = this.text(fd).trim();
    return text === '' ? null : Number(text);
  }

  private text(fd: number | null): string {
    if (fd === null) return '';
    try {
      return this.buffer.toString('latin1', 0, readSync(fd, this.buffer, 0, TEXT_MAX, 0));
    } catch {
      // ENODEV: somebody removed the cgroup from under us.
      return '';
    }
  }
}

export function openMeter(cgroup: HostCgroup | null): CgroupMeter {
  return new CgroupMeter(cgroup?.directoryOf('memory') ?? null);
}

function tryOpen(path: string): number | null {
  try {
    return openSync(Buffer.from(path, 'latin1'), constants.O_RDONLY);
  } catch {
    return null;
  }
}
