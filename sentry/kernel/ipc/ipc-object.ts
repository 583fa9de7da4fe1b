/**
 * What shared memory segments, semaphore sets and message queues have in common (Linux kern_ipc_perm): a key, an id, owners, a mode, and the
 * rules of who may use, change and remove one.
 *
 * Spec: sysvipc(7), "Resource access permissions"; Linux ipc/util.c.
 */
import { EINVAL } from '#sentry/abi/errno.ts';
import type { IpcPerm } from '#sentry/abi/ipc.ts';
import { CAP_IPC_OWNER, CAP_SYS_ADMIN, capable, inGroup } from '../../vfs/credentials.ts';
import type { Credentials } from '../../vfs/credentials.ts';

const PERMISSION_BITS = 0o777;
/** (uid_t) -1: nobody. */
const NO_ID = 0xffff_ffff;

export abstract class IpcObject {
  /** IPC_PRIVATE for one that no key leads to. */
  key: number;
  /** Set by the table that takes it in: index and sequence number. */
  id = -1;
  seq = 0;
  uid: number;
  gid: number;
  readonly cuid: number;
  readonly cgid: number;
  /** Permission bits, and of segments SHM_DEST and SHM_LOCKED. */
  mode: number;
  /** Last change by a control call, or the creation: seconds since 1970. */
  changeTime = 0;

  /** `flags` as the get call had them: its lowest nine bits are the mode. */
  constructor(key: number, flags: number, credentials: Credentials) {
    this.key = key;
    this.uid = this.cuid = credentials.euid;
    this.gid = this.cgid = credentials.egid;
    this.mode = flags & PERMISSION_BITS;
  }

  /** Whether `credentials` may do what `flags` ask for in any of its three places (owner, group, others). */
  permits(credentials: Credentials, flags: number): boolean {
    const { euid } = credentials;
    const requested = (flags >> 6) | (flags >> 3) | flags;
    let granted = this.mode;
    if (euid === this.cuid || euid === this.uid) granted >>= 6;
    else if (inGroup(credentials, this.cgid) || inGroup(credentials, this.gid)) granted >>= 3;
    return (requested & ~granted & 7) === 0 || capable(credentials, CAP_IPC_OWNER);
  }

  /** Whether `credentials` may change or remove it (IPC_SET, IPC_RMID). */
  isControlledBy(credentials: Credentials): boolean {
    return credentials.euid === this.cuid || credentials.euid === this.uid || capable(credentials, CAP_SYS_ADMIN);
  }

  /** The part of IPC_SET that all have: owner and permission bits. 0 or -EINVAL. */
  updatePermissions({ uid, gid, mode }: IpcPerm): number {
    if (uid === NO_ID || gid === NO_ID) return -EINVAL;
    this.uid = uid;
    this.gid = gid;
    this.mode = (this.mode & ~PERMISSION_BITS) | (mode & PERMISSION_BITS);
    return 0;
  }

  /** As IPC_STAT shows it. */
  get permissions(): IpcPerm {
    const { key, uid, gid, cuid, cgid, mode, seq } = this;
    return { key, uid, gid, cuid, cgid, mode, seq, unused1: 0, unused2: 0 };
  }
}
