/**
 * The directories of containers: `<root>/<id>`, each with
 *
 *     state.json       see record.ts; written whole, by rename
 *     control.sock     the sentry's socket (bin/oci/control)
 *
 * Making the directory is what claims an id. It is there before state.json is, for moments only, but a process can be killed then: such a
 * directory counts as no container, and `create` and `delete --force` remove it once it is old.
 */
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../errors.ts';
import type { ContainerRecord } from './record.ts';
import { RECORD_VERSION } from './record.ts';

const STATE_FILE = 'state.json';
export const CONTROL_SOCKET = 'control.sock';
/** After it, a directory without state.json is nobody's. */
const CLAIM_MS = 10_000;

/** As runc has it: letters, digits and `_ + - .`, and no name that a path would understand. */
export function checkId(id: string): void {
  if (id === '') throw new UserError('container id cannot be empty', 1);
  if (!/^[\w+.-]+$/.test(id) || id === '.' || id === '..' || id.length > 1024) throw new UserError(`invalid container id format: ${id}`, 1);
}

/** Where containers are kept when --root says nothing. */
export function defaultRoot(): string {
  const runtime = process.env['TSVISOR_ENV_XDG_RUNTIME_DIR'];
  if (process.geteuid!() === 0 || runtime === undefined || runtime === '') return '/run/tsvisor';
  return join(runtime, 'tsvisor');
}

export class ContainerDirectory {
  readonly id: string;
  readonly path: string;

  constructor(root: string, id: string) {
    checkId(id);
    this.id = id;
    this.path = join(root, id);
  }

  /** The ids of all containers beneath `root`, in order. */
  static list(root: string): string[] {
    try {
      return readdirSync(root).toSorted();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw new UserError(`the directory ${root} cannot be read (${(error as NodeJS.ErrnoException).code}); check --root.`, 1);
    }
  }

  /** Makes the directory; false: there is such a container. */
  claim(root: string): boolean {
    mkdirSync(root, { recursive: true, mode: 0o711 });
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        mkdirSync(this.path, { mode: 0o700 });
        return true;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      if (!this.isAbandoned()) return false;
      this.remove();
    }
    return false;
  }

  /** Whether somebody was killed between claiming it and writing its state. */
  isAbandoned(): boolean {
    if (this.read() !== null) return false;
    try {
      return Date.now() - statSync(this.path).mtimeMs > CLAIM_MS;
    } catch {
      return false;
    }
  }

  /** Durable, and never half of it. */
  write(record: ContainerRecord): void {
    const fresh = join(this.path, `${STATE_FILE}.${process.pid}`);
    const fd = openSync(fresh, 'w', 0o600);
    writeSync(fd, JSON.stringify(record));
    fsyncSync(fd);
    closeSync(fd);
    renameSync(fresh, join(this.path, STATE_FILE));
  }

  /** null: there is no container. */
  read(): ContainerRecord | null {
    let text: string;
    try {
      text = readFileSync(join(this.path, STATE_FILE), 'utf8');
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'ENOTDIR') return null;
      throw new UserError(`the state of container ${this.id} cannot be read (${code}).`, 1);
    }
    const record = JSON.parse(text) as ContainerRecord;
    if (record.version !== RECORD_VERSION) throw new UserError(`container ${this.id} was made by another version of tsvisor.`, 1);
    return record;
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
