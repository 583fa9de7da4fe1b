/**
 * The parts of config.json that the tests change, named as in the runtime specification, over what the runtime's own `spec` verb writes.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { stateRoot, verb } from './runtime.ts';

export interface SpecMount {
  destination: string;
  type?: string;
  source?: string;
  options?: string[];
}

export interface SpecHook {
  path: string;
  args?: string[];
  env?: string[];
  timeout?: number;
}

type HookKind = 'prestart' | 'createRuntime' | 'createContainer' | 'startContainer' | 'poststart' | 'poststop';

export interface SpecIdMapping {
  containerID: number;
  hostID: number;
  size: number;
}

interface CapabilitySets {
  bounding?: string[];
  effective?: string[];
  permitted?: string[];
  inheritable?: string[];
  ambient?: string[];
}

interface SpecSeccomp {
  defaultAction: string;
  defaultErrnoRet?: number;
  architectures?: string[];
  syscalls?: {
    names: string[];
    action: string;
    errnoRet?: number;
    args?: { index: number; value: number; valueTwo?: number; op: string }[];
  }[];
}

interface SpecDevice {
  path: string;
  type: string;
  major?: number;
  minor?: number;
  fileMode?: number;
  uid?: number;
  gid?: number;
}

export interface Spec {
  ociVersion: string;
  process: {
    terminal?: boolean;
    consoleSize?: { height: number; width: number };
    user: { uid: number; gid: number; umask?: number; additionalGids?: number[] };
    args: string[];
    env: string[];
    cwd: string;
    capabilities: CapabilitySets;
    rlimits?: { type: string; soft: number; hard: number }[];
    noNewPrivileges?: boolean;
    oomScoreAdj?: number;
    apparmorProfile?: string;
    selinuxLabel?: string;
  };
  root: { path: string; readonly?: boolean };
  hostname?: string;
  domainname?: string;
  mounts: SpecMount[];
  hooks?: Partial<Record<HookKind, SpecHook[]>>;
  annotations?: Record<string, string>;
  linux: {
    namespaces: { type: string; path?: string }[];
    uidMappings?: SpecIdMapping[];
    gidMappings?: SpecIdMapping[];
    devices?: SpecDevice[];
    cgroupsPath?: string;
    resources?: Record<string, unknown>;
    sysctl?: Record<string, string>;
    maskedPaths?: string[];
    readonlyPaths?: string[];
    rootfsPropagation?: string;
    seccomp?: SpecSeccomp;
  };
}

let written: string | undefined;

/** What `RUNTIME spec` writes, without a terminal. Asked for once in each test file. */
export async function defaultSpec(): Promise<Spec> {
  if (written === undefined) {
    const directory = mkdtempSync(join(stateRoot, 'spec-'));
    const outcome = await verb(['spec'], { cwd: directory });
    if (outcome.status !== 0) throw new Error(`spec failed: ${outcome.stderr}`);
    written = readFileSync(join(directory, 'config.json'), 'utf8');
    rmSync(directory, { recursive: true });
  }
  const spec = JSON.parse(written) as Spec;
  spec.process.terminal = false;
  return spec;
}
