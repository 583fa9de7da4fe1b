/**
 * The cgroups of one container as its guests see them: a tree of named groups, each process in one of them. A child belongs to its parent's
 * group. The root of the tree is the container's own cgroup.
 *
 * Groups that guests make hold processes together (to list them, to kill them, to wait until they are gone) and limit how many tasks there are; other
 * controllers are the root's alone. A process that is in no group made by guests has `controlGroup` null: the root.
 *
 * Spec: Linux Documentation/admin-guide/cgroup-v2.rst.
 */
import { EAGAIN, EBUSY, EEXIST, EINVAL } from '#sentry/abi/errno.ts';
import { CONTROL_GROUP_DEPTH_MAX, CONTROL_GROUPS_MAX } from '../../limits.ts';

/** What this needs of a process; the kernel's ThreadGroup satisfies it. */
export interface MemberProcess {
  readonly pid: number;
  readonly isZombie: boolean;
  readonly tasks: ReadonlySet<{ readonly tid: number; readonly hasExited: boolean }>;
  /** null: the root. */
  controlGroup: ControlGroup | null;
}

/** The processes of the container, by number. */
export interface MemberTable {
  readonly groups: ReadonlyMap<number, MemberProcess>;
  readonly tasks: ReadonlyMap<number, { readonly group: MemberProcess }>;
}

export class ControlGroup {
  readonly tree: ControlGroups;
  readonly parent: ControlGroup | null;
  readonly name: string;
  readonly depth: number;
  readonly uid: number;
  readonly gid: number;
  readonly children = new Map<string, ControlGroup>();
  removed = false;
  /** cgroup.subtree_control holds pids: the only controller that can be handed down. */
  handsDownPids = false;
  /** pids.max of a group that guests made. */
  pidsMax = Infinity;
  /** pids.events: how often pids.max refused a clone. */
  refusals = 0;

  constructor(tree: ControlGroups, parent: ControlGroup | null, name: string, owner: { readonly uid: number; readonly gid: number }) {
    this.tree = tree;
    this.parent = parent;
    this.name = name;
    this.depth = parent === null ? 0 : parent.depth + 1;
    this.uid = owner.uid;
    this.gid = owner.gid;
  }

  /** As in /proc/PID/cgroup. */
  get path(): string {
    if (this.parent === null) return '/';
    const above = this.parent.parent === null ? '' : this.parent.path;
    return `${above}/${this.name}${this.removed ? ' (deleted)' : ''}`;
  }

  get isRoot(): boolean {
    return this.parent === null;
  }

  /** Whether it has files of pids: handed down by the group above. */
  get limitsPids(): boolean {
    return this.parent !== null && this.parent.handsDownPids;
  }

  contains(other: ControlGroup): boolean {
    for (let group: ControlGroup | null = other; group !== null; group = group.parent) if (group === this) return true;
    return false;
  }

  /** Living processes that are in this very group. */
  members(): MemberProcess[] {
    return this.tree.processes((group) => group === this).filter(({ isZombie }) => !isZombie);
  }

  /** Living processes in it or below. */
  get isPopulated(): boolean {
    return this.tree.processes((group) => this.contains(group)).some(({ isZombie }) => !isZombie);
  }

  /** Tasks in it and below, zombies included. */
  get taskCount(): number {
    let count = 0;
    for (const { tasks } of this.tree.processes((group) => this.contains(group))) count += tasks.size;
    return count;
  }

  get descendantCount(): number {
    let count = this.children.size;
    for (const child of this.children.values()) count += child.descendantCount;
    return count;
  }

  /** Makes a group below. -EEXIST, -EINVAL, or -EAGAIN beyond the bounds, as for cgroup.max.descendants. */
  make(name: string, owner: { readonly uid: number; readonly gid: number }): ControlGroup | number {
    if (this.children.has(name)) return -EEXIST;
    // Linux: it would break the lines of /proc/PID/cgroup.
    if (name.includes('\n')) return -EINVAL;
    if (this.depth >= CONTROL_GROUP_DEPTH_MAX || this.tree.root.descendantCount >= CONTROL_GROUPS_MAX) return -EAGAIN;
    const child = new ControlGroup(this.tree, this, name, owner);
    this.children.set(name, child);
    return child;
  }

  /** 0, or -EBUSY while processes or groups are in `child`. */
  remove(child: ControlGroup): number {
    if (child.children.size > 0 || child.isPopulated) return -EBUSY;
    child.removed = true;
    this.children.delete(child.name);
    return 0;
  }

  /** Moves a process here. -EBUSY where limits are handed down: those groups have no processes of their own. */
  take(process: MemberProcess): number {
    if (this.handsDownPids) return -EBUSY;
    process.controlGroup = this.isRoot ? null : this;
    return 0;
  }

  /** Switches pids on for the groups below. -EBUSY while it has processes itself. */
  handDownPids(): number {
    if (this.members().length > 0) return -EBUSY;
    this.handsDownPids = true;
    return 0;
  }

  /** -EBUSY while a group below hands them down in turn. */
  keepPids(): number {
    for (const child of this.children.values()) if (child.handsDownPids) return -EBUSY;
    this.handsDownPids = false;
    for (const child of this.children.values()) child.pidsMax = Infinity;
    return 0;
  }

  /** Whether one more task may be born here. Counts the refusal. */
  admitsTask(): boolean {
    if (this.pidsMax !== Infinity && this.taskCount >= this.pidsMax) {
      this.refusals++;
      return false;
    }
    return this.parent === null || this.parent.admitsTask();
  }
}

export class ControlGroups {
  readonly root: ControlGroup;
  readonly table: MemberTable;

  constructor(table: MemberTable) {
    this.table = table;
    this.root = new ControlGroup(this, null, '', { uid: 0, gid: 0 });
  }

  processes(wanted: (group: ControlGroup) => boolean): MemberProcess[] {
    return [...this.table.groups.values()].filter((process) => wanted(process.controlGroup ?? this.root));
  }
}
