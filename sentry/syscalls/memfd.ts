/**
 * memfd_create(2): a tmpfs file without a name, with seals. Also the calls that Linux may lack: memfd_secret(2), name_to_handle_at(2).
 */
import { EFAULT, EINVAL, ENAMETOOLONG, ENODEV, ENOSYS, EOPNOTSUPP, EPERM } from '#sentry/abi/errno.ts';
import {
  F_SEAL_EXEC,
  F_SEAL_SEAL,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  MFD_EXEC,
  MFD_HUGETLB,
  MFD_HUGE_MASK,
  MFD_NOEXEC_SEAL,
} from '#sentry/abi/fcntl.ts';
import { AT_EMPTY_PATH, AT_SYMLINK_FOLLOW, O_LARGEFILE, O_RDWR, S_IFREG } from '#sentry/abi/fs.ts';
import { TmpFile } from '../fs/tmpfs/file.ts';
import { TmpFileSystem } from '../fs/tmpfs/tmpfs.ts';
import { CAP_DAC_READ_SEARCH, capable } from '../vfs/credentials.ts';
import { Dentry } from '../vfs/dentry.ts';
import type { Vfs } from '../vfs/vfs.ts';
import type { Task } from '../kernel/task.ts';
import { installFile } from './file-args.ts';
import { addr, dirfd, family, fd, flags, partial, path, refused, syscall, u32 } from './row.ts';

const NAME_LIMIT = 250;
const MFD_KNOWN = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC;

/** The file system they lie in: one for a sandbox, never mounted (Linux shm_mnt). */
const hidden = new WeakMap<Vfs, TmpFileSystem>();

function memoryFileSystem(vfs: Vfs): TmpFileSystem | null {
  const existing = hidden.get(vfs);
  if (existing !== undefined) return existing;
  const made = vfs.types.get('tmpfs')?.('');
  if (!(made instanceof TmpFileSystem)) return null;
  hidden.set(vfs, made);
  return made;
}

function memfdCreate(task: Task, nameAddress: number, flags: number): number {
  const huge = (flags & MFD_HUGETLB) !== 0;
  if ((flags & ~(huge ? MFD_KNOWN | MFD_HUGETLB | MFD_HUGE_MASK : MFD_KNOWN)) !== 0) return -EINVAL;
  if ((flags & MFD_EXEC) !== 0 && (flags & MFD_NOEXEC_SEAL) !== 0) return -EINVAL;
  const name = task.memory.readString(nameAddress, NAME_LIMIT);
  if (typeof name === 'number') return name === -ENAMETOOLONG ? -EINVAL : -EFAULT;
  if (huge) return -ENODEV;
  const fileSystem = memoryFileSystem(task.fs.namespace.vfs);
  if (fileSystem === null) return -ENOSYS;
  const error = fileSystem.takeInode();
  if (error < 0) return error;
  const { fsuid, fsgid } = task.credentials;
  const noExec = (flags & MFD_NOEXEC_SEAL) !== 0;
  const inode = new TmpFile(fileSystem, S_IFREG | (noExec ? 0o666 : 0o777), fsuid, fsgid);
  inode.nlink = 0;
  inode.unnamed = true;
  inode.seals = noExec ? F_SEAL_EXEC : (flags & MFD_ALLOW_SEALING) !== 0 ? 0 : F_SEAL_SEAL;
  const dentry = new Dentry(`/memfd:${name} (deleted)`, null, inode);
  const file = inode.open(dentry, O_RDWR | O_LARGEFILE, task);
  return installFile(task, file, (flags & MFD_CLOEXEC) !== 0);
}

export const memfdRows = family(
  syscall({
    name: 'memfd_create',
    nr: { x64: 319, arm64: 279 },
    args: { name: path, flags: flags({ MFD_CLOEXEC, MFD_ALLOW_SEALING, MFD_HUGETLB, MFD_NOEXEC_SEAL, MFD_EXEC }) },
    support: partial('MFD_HUGETLB fails with ENODEV: no page size but 4 KiB'),
    run: memfdCreate,
  }),
  syscall({
    name: 'memfd_secret',
    nr: { x64: 447, arm64: 447 },
    args: { flags: u32 },
    support: refused(ENOSYS, 'as on a kernel booted without secretmem.enable'),
    run: () => -ENOSYS,
  }),
  syscall({
    name: 'name_to_handle_at',
    nr: { x64: 303, arm64: 264 },
    args: { dirfd, pathname: path, handle: addr, mount_id: addr, flags: flags({ AT_EMPTY_PATH, AT_SYMLINK_FOLLOW }) },
    support: refused(EOPNOTSUPP, 'no file system here gives out handles'),
    run: () => -EOPNOTSUPP,
  }),
  syscall({
    name: 'open_by_handle_at',
    nr: { x64: 304, arm64: 265 },
    args: { mount_fd: fd, handle: addr, flags: u32 },
    support: refused(EOPNOTSUPP, 'no file system here gives out handles'),
    run: (task) => (capable(task.credentials, CAP_DAC_READ_SEARCH) ? -EOPNOTSUPP : -EPERM),
  }),
);
