/**
 * An open file of the kernel's own making, `anon_inode:…`. lseek(2) on one does nothing and succeeds (Linux noop_llseek).
 */
import { FileDescription } from '../../vfs/file-description.ts';

export abstract class AnonymousFile extends FileDescription {
  override seek(_offset: number, _whence: number): number {
    return 0;
  }
}
