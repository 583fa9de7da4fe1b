/**
 * sysfs (sysfs(5)): what programs ask of it in a container. How many CPUs there are and that each is a core of one package, one node of
 * memory, its network interfaces (interfaces.ts), and empty directories where the devices of a machine would be. Nothing is the host's: the figures are those
 * of the sandbox.
 *
 *     const sys = new SysFileSystem(vfs.allocateDevice(), host, kernel.machine, kernel.network.stack.interfaces);      // mounted on /sys, read-only
 *
 * All but the network is known when the file system is made. Spec: Linux Documentation/ABI/stable/sysfs-devices-system-cpu.
 */
import type { Host } from '#platform/contract/host.ts';
import type { InterfaceTable } from '../../netstack/link/interface-table.ts';
import type { Inode } from '../../vfs/inode.ts';
import type { MachineView } from '../proc/process-view.ts';
import { StaticDirectory, SyntheticDirectory, SyntheticFileSystem } from '../synthetic/synthetic.ts';
import { cpuList, cpuMask } from './cpu-list.ts';
import { InterfacesDirectory } from './interfaces.ts';
import { SysFile } from './sys-file.ts';

const SYSFS_MAGIC = 0x6265_6572;
/** Highest CPU number a kernel built like the one we follow could have. */
const KERNEL_MAX = 255;
const HUGE_PAGE_SIZE = 2_097_152;

/** A directory as an object, a file as its text without the newline; or something that is made already. */
interface Tree {
  readonly [name: string]: string | Tree | SyntheticDirectory;
}

export class SysFileSystem extends SyntheticFileSystem {
  readonly type = 'sysfs';
  readonly magic = SYSFS_MAGIC;
  readonly root: Inode;

  constructor(device: number, host: Host, machine: MachineView, interfaces: InterfaceTable) {
    super(device, host);
    const devices = InterfacesDirectory.ofDevices(this, interfaces);
    this.root = this.directory(sysTree(machine, devices, InterfacesDirectory.ofLinks(this, interfaces)));
  }

  private directory(tree: Tree): StaticDirectory {
    const children = Object.entries(tree).map(([name, node]) => [name, this.inode(node)]);
    return new StaticDirectory(this, Object.fromEntries(children) as Record<string, Inode>, 0o755);
  }

  private inode(node: Tree[string]): Inode {
    if (typeof node === 'string') return new SysFile(this, () => `${node}\n`);
    return node instanceof SyntheticDirectory ? node : this.directory(node);
  }
}

function sysTree(machine: MachineView, devices: SyntheticDirectory, links: SyntheticDirectory): Tree {
  return {
    block: {},
    bus: {},
    class: { block: {}, mem: {}, misc: {}, net: links, tty: {} },
    dev: { block: {}, char: {} },
    devices: { system: { cpu: cpuTree(machine.cpuCount), node: nodeTree(machine) }, virtual: { net: devices } },
    firmware: {},
    fs: { cgroup: {} },
    kernel: {
      address_bits: '48',
      cpu_byteorder: 'little',
      mm: {
        hugepages: {},
        transparent_hugepage: {
          defrag: 'always defer defer+madvise [madvise] never',
          enabled: 'always [madvise] never',
          hpage_pmd_size: String(HUGE_PAGE_SIZE),
          shmem_enabled: 'always within_size advise [never] deny force',
          use_zero_page: '1',
        },
      },
    },
    module: {},
    power: {},
  };
}

function cpuTree(count: number): Tree {
  const all = cpuList(0, count);
  const cpus = Array.from({ length: count }, (_, cpu) => [
    `cpu${cpu}`,
    { topology: topologyTree(cpu, count), ...(cpu === 0 ? {} : { online: '1' }) },
  ]);
  return {
    ...(Object.fromEntries(cpus) as Tree),
    isolated: '',
    kernel_max: String(KERNEL_MAX),
    offline: '',
    online: all,
    possible: all,
    present: all,
    smt: { active: '0', control: 'notsupported' },
  };
}

/** One package, each CPU a core of its own with one thread. */
function topologyTree(cpu: number, count: number): Tree {
  const own = { mask: cpuMask(cpu, cpu + 1, count), list: cpuList(cpu, cpu + 1) };
  const all = { mask: cpuMask(0, count, count), list: cpuList(0, count) };
  return {
    core_cpus: own.mask,
    core_cpus_list: own.list,
    core_id: String(cpu),
    core_siblings: all.mask,
    core_siblings_list: all.list,
    die_cpus: all.mask,
    die_cpus_list: all.list,
    die_id: '0',
    package_cpus: all.mask,
    package_cpus_list: all.list,
    physical_package_id: '0',
    thread_siblings: own.mask,
    thread_siblings_list: own.list,
  };
}

function nodeTree({ cpuCount, memoryBytes }: MachineView): Tree {
  const kib = String(Math.floor(memoryBytes / 1024)).padStart(8);
  return {
    has_cpu: '0',
    has_memory: '0',
    has_normal_memory: '0',
    node0: {
      cpulist: cpuList(0, cpuCount),
      cpumap: cpuMask(0, cpuCount, cpuCount),
      distance: '10',
      meminfo: `Node 0 MemTotal:       ${kib} kB\nNode 0 MemFree:        ${kib} kB`,
    },
    online: '0',
    possible: '0',
  };
}
