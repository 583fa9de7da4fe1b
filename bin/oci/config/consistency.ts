/**
 * Rules between fields of a configuration: what may be set depends on the namespaces the container has. A sandbox has every kind of namespace
 * to itself, so sharing one with the host cannot be had and is said; joining one that is not this pod's is refused, as the processes in it
 * could not be reached.
 */
import { MS_SHARED, MS_SLAVE } from '#sentry/abi/mount.ts';
import type { Place } from './reader.ts';
import { NAMESPACE_TYPES } from './types.ts';
import type { ContainerConfig, NamespaceType, SysctlConfig } from './types.ts';

const IPC_SYSCTL = /^(kernel\.(msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced)|fs\.mqueue\..+)$/;

export function checkConsistency(config: ContainerConfig, top: Place): void {
  const place = top.at('linux');
  checkNamespaces(config, place.at('namespaces'));
  checkMappings(config, place);
  checkPropagation(config, top);
  for (const setting of config.linux.sysctl) checkSysctl(setting, config, place.at('sysctl').at(setting.name));
  if (!has(config, 'uts')) {
    if (config.hostname !== null) top.at('hostname').fail('needs a namespace of type uts in linux.namespaces');
    if (config.domainname !== null) top.at('domainname').fail('needs a namespace of type uts in linux.namespaces');
  }
  if (has(config, 'mount')) return;
  for (const field of ['maskedPaths', 'readonlyPaths'] as const) {
    if (config.linux[field].length > 0) place.at(field).fail('needs a namespace of type mount in linux.namespaces');
  }
}

function has({ linux }: ContainerConfig, type: NamespaceType): boolean {
  return linux.namespaces[type] !== null;
}

/** Where the host's own is asked for by leaving the entry out. What a missing one would show matters to nobody for these. */
const UNSHARED: Partial<Record<NamespaceType, string>> = {
  pid: 'does not list pid, but processes of the host cannot be seen from inside: the container has process ids of its own',
  ipc: 'does not list ipc, but the host’s System V objects and message queues cannot be reached from inside',
  mount: 'does not list mount, but mounts made inside do not appear on the host',
};

function checkNamespaces(config: ContainerConfig, place: Place): void {
  for (const type of NAMESPACE_TYPES) {
    const entry = config.linux.namespaces[type];
    if (entry === null) {
      const sentence = UNSHARED[type];
      if (sentence !== undefined) place.warn(sentence);
    } else if (entry.path !== null && type !== 'network' && config.pod.role !== 'member') {
      place.fail(
        `asks to join an existing namespace of type ${type}: only network namespaces can be joined, or those of the pod's sandbox`,
      );
    }
  }
}

function checkMappings(config: ContainerConfig, place: Place): void {
  const { uidMappings, gidMappings, namespaces } = config.linux;
  if (namespaces.user === null) {
    if (uidMappings.length > 0) place.at('uidMappings').fail('needs a namespace of type user in linux.namespaces');
    if (gidMappings.length > 0) place.at('gidMappings').fail('needs a namespace of type user in linux.namespaces');
    return;
  }
  if (namespaces.user.path !== null) return;
  if (uidMappings.length === 0) place.at('uidMappings').fail('is missing, but linux.namespaces has a user namespace');
  if (gidMappings.length === 0) place.at('gidMappings').fail('is missing, but linux.namespaces has a user namespace');
}

/** Mounts of a sandbox are known to its own kernel and to no other. */
function checkPropagation(config: ContainerConfig, top: Place): void {
  const isShared = (flags: number): boolean => (flags & (MS_SHARED | MS_SLAVE)) !== 0;
  const sentence = 'asks to share mounts with the host, but what is mounted there later does not appear inside, nor the other way round';
  if (isShared(config.linux.rootfsPropagation ?? 0)) top.at('linux').at('rootfsPropagation').warn(sentence);
  config.mounts.forEach(({ propagation }, index) => {
    if (propagation.some(isShared)) top.at('mounts').at(index).at('options').warn(sentence);
  });
}

/** The same names as Linux keeps for each namespace; others would be settings of the whole machine. */
function checkSysctl({ name }: SysctlConfig, config: ContainerConfig, place: Place): void {
  if (IPC_SYSCTL.test(name)) return need('ipc', config, place);
  if (name.startsWith('net.')) return need('network', config, place);
  if (name === 'kernel.domainname') return need('uts', config, place);
  if (name === 'kernel.hostname') return place.fail('must be given as the field hostname');
  return place.fail(
    'is a setting of the whole machine: a container may set kernel.{msg*,sem,shm*}, kernel.domainname, fs.mqueue.* and net.*',
  );
}

function need(type: NamespaceType, config: ContainerConfig, place: Place): void {
  if (!has(config, type)) place.fail(`needs a namespace of type ${type} in linux.namespaces`);
}
