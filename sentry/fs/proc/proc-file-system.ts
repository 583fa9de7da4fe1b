/**
 * proc(5): processes and kernel figures as files. Only the sandbox's own processes exist here, and figures of the machine are those a
 * guest may know. A mount shows the processes of one PID namespace, by the numbers they have there.
 *
 * root.ts lists the top directory, process.ts what a process's directory holds, sysctl.ts /proc/sys.
 */
import { ENOENT } from '#sentry/abi/errno.ts';
import type { Host } from '#platform/contract/host.ts';
import type { Inode } from '../../vfs/inode.ts';
import { SyntheticFileSystem } from '../synthetic/synthetic.ts';
import type { KernelView, PidsView } from './process-view.ts';
import { RootDirectory } from './root.ts';

export const PROC_SUPER_MAGIC = 0x9fa0;

export class ProcFileSystem extends SyntheticFileSystem {
  readonly type = 'proc';
  readonly magic = PROC_SUPER_MAGIC;
  override readonly newNameError = -ENOENT;
  readonly kernel: KernelView;
  readonly pids: PidsView;
  private readonly rootDirectory: RootDirectory;

  constructor(device: number, host: Host, kernel: KernelView, pids: PidsView) {
    super(device, host);
    this.kernel = kernel;
    this.pids = pids;
    this.rootDirectory = new RootDirectory(this);
  }

  get root(): Inode {
    return this.rootDirectory;
  }
}
