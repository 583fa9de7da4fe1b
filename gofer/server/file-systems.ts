/**
 * Which host file systems are served. Names may lead across mounts of the host (a separate /home or /usr is normal), but not into the
 * kernel's own interfaces: the sentry mounts its own /proc, /sys and /dev, and if it ever asked for the host's it would be by mistake or
 * by malice. Such a file system is *sealed*: its root looks like an empty directory that cannot be opened or changed.
 *
 * The decision is made once per device number, by the magic number of statfs(2). devtmpfs has tmpfs's magic and is known by being what is
 * mounted at /dev when the gofer starts.
 */
import { fstatfs } from '#platform/host/files.ts';

/** Magic numbers (linux/magic.h and the file systems' own sources) of interfaces to the kernel. */
const SEALED_MAGICS: ReadonlySet<number> = new Set([
  0x9fa0, // proc
  0x6265_6572, // sysfs
  0x1cd1, // devpts
  0x0027_e0eb, // cgroup
  0x6367_7270, // cgroup2
  0x6462_6720, // debugfs
  0x7472_6163, // tracefs
  0x7363_6673, // securityfs
  0xcafe_4a11, // bpf
  0x6165_676c, // pstore
  0x6265_6570, // configfs
  0xde5e_81e4, // efivarfs
  0x6e73_6673, // nsfs
  0xf97c_ff8c, // selinuxfs
  0x4341_5d53, // smackfs
  0x4249_4e4d, // binfmt_misc
  0x6573_5543, // fusectl
  0x1980_0202, // mqueue
  0x6759_6969, // rpc_pipefs
  0x0765_5821, // resctrl
]);

/** Remembered decisions; more devices than this are asked for again. */
const DEVICES_MAX = 4_096;
/** `struct statfs` on 64-bit hosts. */
export const STATFS_SIZE = 120;

export class FileSystems {
  private readonly decisions = new Map<number, boolean>();
  private readonly given = new Map<number, boolean>();
  private readonly scratchAt: number;
  private readonly scratch: DataView;

  /** `scratch` is the STATFS_SIZE bytes of memory at `scratchAt`. */
  constructor(scratch: DataView, scratchAt: number) {
    this.scratch = scratch;
    this.scratchAt = scratchAt;
  }

  /** Decides for a device ahead of time. */
  decide(major: number, minor: number, sealed: boolean): void {
    this.given.set(key(major, minor), sealed);
  }

  /** Whether the file system of `fd`, whose device number is given, is sealed. */
  isSealed(fd: number, major: number, minor: number): boolean {
    const device = key(major, minor);
    const known = this.given.get(device) ?? this.decisions.get(device);
    if (known !== undefined) return known;
    // What cannot even be asked about is not served.
    const sealed = fstatfs(fd, this.scratchAt) < 0 || SEALED_MAGICS.has(this.scratch.getUint32(0, true));
    if (this.decisions.size >= DEVICES_MAX) this.decisions.clear();
    this.decisions.set(device, sealed);
    return sealed;
  }
}

function key(major: number, minor: number): number {
  return major * 0x1_0000_0000 + minor;
}
