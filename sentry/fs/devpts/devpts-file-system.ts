/**
 * devpts: /dev/pts with `ptmx` and a node for each pseudo-terminal (pts(4), Linux Documentation/filesystems/devpts.rst). Each mount that
 * mount(2) makes is an instance of its own, with its own numbers.
 *
 *     const pts = new DevptsFileSystem(device, shared, { makeJobs, openPeer }, DEVPTS_DEFAULTS);
 *     registerTerminals(vfs.special, pts);
 *
 * A number is free again when master and terminal have both been closed.
 */
import { EINVAL, EIO, ENOENT, ENOMEM, ENOSPC } from '#sentry/abi/errno.ts';
import { S_IFCHR } from '#sentry/abi/fs.ts';
import { PSEUDO_TERMINALS_MAX } from '../../limits.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import type { Caller, Inode } from '../../vfs/inode.ts';
import { makeDevice } from '../../vfs/special-files.ts';
import type { SpecialFiles } from '../../vfs/special-files.ts';
import type { AnonymousFiles } from '../anonymous/anonymous-files.ts';
import { SyntheticDirectory, SyntheticFileSystem } from '../synthetic/synthetic.ts';
import type { Entry } from '../synthetic/synthetic.ts';
import type { MakeJobs, OpenTerminal } from '../tty/job-control.ts';
import { PseudoTerminal } from '../tty/terminal.ts';
import { MasterFile } from './master-file.ts';
import type { OpenPeer } from './master-file.ts';
import { DeviceNode, TERMINAL_MAJOR, TerminalNode, openTerminal } from './node.ts';

const DEVPTS_SUPER_MAGIC = 0x1cd1;
const PTMX_MAJOR = 5;
const PTMX_MINOR = 2;
const PTMX = 'ptmx';

export interface DevptsOptions {
  /** Of new terminals; null: those of who opens the master. */
  readonly uid: number | null;
  readonly gid: number | null;
  readonly mode: number;
  readonly ptmxMode: number;
  readonly max: number;
}

/** What a container's /dev/pts is mounted with. */
export const DEVPTS_DEFAULTS: DevptsOptions = { uid: null, gid: 5, mode: 0o620, ptmxMode: 0o666, max: PSEUDO_TERMINALS_MAX };

/** What the kernel does for terminals. */
export interface TerminalServices {
  readonly makeJobs: MakeJobs;
  readonly openPeer: OpenPeer;
}

export class DevptsFileSystem extends SyntheticFileSystem {
  readonly type = 'devpts';
  readonly magic = DEVPTS_SUPER_MAGIC;
  readonly root: DevptsRoot;
  readonly ptmx: DeviceNode;
  /** Terminals with a name. */
  readonly nodes = new Map<number, TerminalNode>();
  private readonly numbers = new Set<number>();
  private readonly shared: AnonymousFiles;
  private readonly services: TerminalServices;
  private readonly options: DevptsOptions;

  constructor(device: number, shared: AnonymousFiles, services: TerminalServices, options: DevptsOptions) {
    super(device, shared.host);
    this.shared = shared;
    this.services = services;
    this.options = options;
    this.root = new DevptsRoot(this);
    this.ptmx = new DeviceNode(this, this.newIno(), options.ptmxMode, 0, 0, makeDevice(PTMX_MAJOR, PTMX_MINOR));
  }

  override get optionText(): string {
    const { uid, gid, mode, ptmxMode } = this.options;
    const octal = (value: number): string => value.toString(8).padStart(3, '0');
    return [
      ...(uid === null ? [] : [`uid=${uid}`]),
      ...(gid === null ? [] : [`gid=${gid}`]),
      `mode=${octal(mode)}`,
      `ptmxmode=${octal(ptmxMode)}`,
    ].join(',');
  }

  /** Opening ptmx: a new terminal, locked, and its master. */
  openMaster(dentry: Dentry, flags: number, caller: Caller): FileDescription | number {
    const index = this.takeNumber();
    if (index < 0) return index;
    const page = this.shared.pages.take();
    if (page < 0) {
      this.numbers.delete(index);
      return -ENOMEM;
    }
    const node = this.makeNode(index, caller.credentials.fsuid, caller.credentials.fsgid, true);
    const open: OpenTerminal = (dentry, flags, caller) => openTerminal(terminal, dentry, flags, caller);
    const terminal = new PseudoTerminal(this.shared, page, this.services.makeJobs(node.rdev, open));
    terminal.onDestroyed = () => this.numbers.delete(index);
    node.serve(open);
    return new MasterFile(node, terminal, dentry, flags, this.services.openPeer);
  }

  /** A node for a terminal that comes from elsewhere (the one tsvisor was started from). Its number, or -errno. */
  adopt(open: OpenTerminal, uid: number): number {
    const index = this.takeNumber();
    if (index >= 0) this.makeNode(index, uid, 0, false).serve(open);
    return index;
  }

  /** The terminal that `adopt` gave number `index` is gone. */
  release(index: number): void {
    this.nodes.delete(index);
    this.numbers.delete(index);
  }

  /** The terminal's name is gone; its number stays taken until the last file has been closed. */
  remove(node: TerminalNode): void {
    this.nodes.delete(node.index);
  }

  private makeNode(index: number, uid: number, gid: number, locked: boolean): TerminalNode {
    const { options } = this;
    const node = new TerminalNode(this, index, options.mode, options.uid ?? uid, options.gid ?? gid, locked);
    this.nodes.set(index, node);
    return node;
  }

  /** The lowest free number. */
  private takeNumber(): number {
    if (this.numbers.size >= this.options.max) return -ENOSPC;
    let index = 0;
    while (this.numbers.has(index)) index++;
    this.numbers.add(index);
    return index;
  }
}

class DevptsRoot extends SyntheticDirectory {
  declare readonly fileSystem: DevptsFileSystem;

  constructor(fileSystem: DevptsFileSystem) {
    super(fileSystem, 0o755);
  }

  override lookup(name: string): Inode | number {
    if (name === PTMX) return this.fileSystem.ptmx;
    return (/^(0|[1-9]\d{0,5})$/.test(name) ? this.fileSystem.nodes.get(Number(name)) : undefined) ?? -ENOENT;
  }

  entries(): Entry[] {
    const { nodes, ptmx } = this.fileSystem;
    const list = [...nodes.values()].map(({ index, ino, mode }) => ({ name: String(index), ino, mode }));
    return [...list, { name: PTMX, ino: ptmx.ino, mode: ptmx.mode }];
  }
}

/** Has the device numbers of terminals and of ptmx open what `main`, or the instance a node lies in, provides. */
export function registerTerminals(special: SpecialFiles, main: DevptsFileSystem): void {
  // A terminal's number in a node outside devpts leads nowhere, as on Linux.
  special.registerDevice(S_IFCHR, TERMINAL_MAJOR, -1, (inode, dentry, flags, caller) =>
    inode instanceof TerminalNode ? inode.openTerminal(dentry, flags, caller) : -EIO,
  );
  // Linux: outside devpts it looks for the directory `pts` beside the node; here the sandbox's own instance serves them all.
  special.registerDevice(S_IFCHR, PTMX_MAJOR, PTMX_MINOR, (inode, dentry, flags, caller) =>
    (inode.fileSystem instanceof DevptsFileSystem ? inode.fileSystem : main).openMaster(dentry, flags, caller),
  );
}

/** The data argument of mount(2) for devpts. Unknown options are refused. */
export function parseDevptsOptions(text: string): DevptsOptions | number {
  // Linux's own defaults, which differ from a container's.
  const options: { -readonly [K in keyof DevptsOptions]: DevptsOptions[K] } = {
    uid: null,
    gid: null,
    mode: 0o600,
    ptmxMode: 0,
    max: PSEUDO_TERMINALS_MAX,
  };
  for (const option of text.split(',')) {
    if (option === '' || option === 'newinstance' || option === 'rw' || option === 'ro') continue;
    const [key, value = ''] = option.split('=', 2) as [string, string?];
    const octal = /^[0-7]{1,5}$/.test(value) ? Number.parseInt(value, 8) & 0o7777 : -1;
    const decimal = /^\d{1,9}$/.test(value) ? Number(value) : -1;
    if (key === 'uid' && decimal >= 0) options.uid = decimal;
    else if (key === 'gid' && decimal >= 0) options.gid = decimal;
    else if (key === 'mode' && octal >= 0) options.mode = octal;
    else if (key === 'ptmxmode' && octal >= 0) options.ptmxMode = octal;
    else if (key === 'max' && decimal >= 0) options.max = Math.min(decimal, PSEUDO_TERMINALS_MAX);
    else return -EINVAL;
  }
  return options;
}
