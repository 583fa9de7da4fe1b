/** A file of sysfs. Linux says that each is a page long, whatever it holds. */
import type { Stat } from '../../vfs/inode.ts';
import { TextFile } from '../synthetic/synthetic.ts';

const PAGE_SIZE = 4096;

export class SysFile extends TextFile {
  override getattr(into: Stat): number {
    const result = super.getattr(into);
    into.size = PAGE_SIZE;
    return result;
  }
}
