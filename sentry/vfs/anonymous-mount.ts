/**
 * The internal mount on which files without a name in any tree live (pipes, sockets, epoll instances), so that the walk always has a mount,
 * also after /proc/self/fd/N has led it to such a file. Nothing can be looked up on it. Linux: kern_mount.
 */
import { ENXIO } from '#sentry/abi/errno.ts';
import { S_IFREG } from '#sentry/abi/fs.ts';
import { Dentry } from './dentry.ts';
import { FileSystem, Inode } from './inode.ts';
import type { FileSystemStatistics } from './inode.ts';
import { Mount } from './mount.ts';
import { makeDevice } from './special-files.ts';

const ANON_INODE_FS_MAGIC = 0x0904_1934;

class InternalFileSystem extends FileSystem {
  readonly type: string = 'anon_inodefs';
  readonly root: Inode = new InternalInode(this, 1, S_IFREG, 0, 0);

  statistics(into: FileSystemStatistics): number {
    into.type = ANON_INODE_FS_MAGIC;
    into.blockSize = 4096;
    into.blocks = into.blocksFree = into.blocksAvailable = into.files = into.filesFree = 0;
    into.nameLength = 255;
    return 0;
  }
}

class InternalInode extends Inode {
  getattr(): number {
    return -ENXIO;
  }
  open(): number {
    return -ENXIO;
  }
}

const internal = new InternalFileSystem(makeDevice(0, 0xff0));
export const ANONYMOUS_MOUNT = new Mount(internal, new Dentry('', null, internal.root), 0, 'none');
