/**
 * What a file is that somebody executes, and remembering it: most programs are executed again and again, and every one of them needs the same
 * interpreter.
 *
 * What is remembered of an inode holds as long as nobody has opened the file for writing or changed its size since (`contentsVersion`). So
 * only files count whose every change comes through here: not those of a mount that the host shares with others, and not those without a
 * place in any tree (memfds, inherited files).
 */
import { EXECUTABLES_REMEMBERED_MAX, SEGMENTS_REMEMBERED_MAX } from '../../limits.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import type { Caller, Inode } from '../../vfs/inode.ts';
import { parseElf } from './elf.ts';
import type { ElfImage } from './elf.ts';
import { FileHead } from './file-head.ts';
import { parseScript } from './script.ts';
import type { Script } from './script.ts';

export type Binary = ElfImage | Script;

interface Known {
  readonly version: number;
  readonly binary: Binary;
}

export class KnownBinaries {
  private readonly known = new Map<Inode, Known>();

  /** What `file`, open for execution, is; -ENOEXEC when it is nothing that can be executed. Uses `scratch`. */
  identify(file: FileDescription, scratch: HostMemory, caller: Caller): Binary | number {
    const { inode } = file;
    const known = this.known.get(inode);
    if (known !== undefined && known.version === inode.contentsVersion) return known.binary;
    const binary = read(file, scratch, caller);
    if (typeof binary !== 'number' && isSmall(binary) && isOursAlone(file)) this.remember(inode, binary);
    return binary;
  }

  private remember(inode: Inode, binary: Binary): void {
    this.known.delete(inode);
    this.known.set(inode, { version: inode.contentsVersion, binary });
    if (this.known.size <= EXECUTABLES_REMEMBERED_MAX) return;
    for (const oldest of this.known.keys()) {
      this.known.delete(oldest);
      return;
    }
  }
}

function read(file: FileDescription, scratch: HostMemory, caller: Caller): Binary | number {
  const head = new FileHead(file, scratch, caller);
  const error = head.fetch();
  return error < 0 ? error : (parseScript(head) ?? parseElf(head));
}

function isSmall(binary: Binary): boolean {
  return binary.kind === 'script' || binary.segments.length <= SEGMENTS_REMEMBERED_MAX;
}

function isOursAlone({ inode, mount }: FileDescription): boolean {
  return mount !== null && mount.fileSystem === inode.fileSystem && inode.fileSystem.cacheable;
}
