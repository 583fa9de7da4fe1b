/**
 * What open(2) with O_PATH yields: a place in the tree, not an open file. Reads, writes and the like answer EBADF before they come here,
 * because the description is neither readable nor writable.
 */
import { EBADF } from '#sentry/abi/errno.ts';
import { FileDescription } from './file-description.ts';

export class PathFile extends FileDescription {
  override read(): number {
    return -EBADF;
  }
  override write(): number {
    return -EBADF;
  }
  override seek(): number {
    return -EBADF;
  }
  override readdir(): number {
    return -EBADF;
  }
  override truncate(): number {
    return -EBADF;
  }
  override allocate(): number {
    return -EBADF;
  }
  override sync(): number {
    return -EBADF;
  }
  override ioctl(): number {
    return -EBADF;
  }
  override mappable(): number {
    return -EBADF;
  }
}
