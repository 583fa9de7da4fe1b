/**
 * The directories of containers: `<root>/<id>`, each with
 *
 *     state.json       see record.ts; written whole, by rename
 *     control.sock     the sentry's socket (bin/oci/control)
 *
 * Making the directory is what claims an id. It is there before state.json is, for moments only, but a process can be killed then: such a
 * directory counts as no container, and `create` and `delete --force` remove it once it is old.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../errors.ts';
import { EXIT_OCI_FAILURE, ociError } from '../errors.ts';
import type { ContainerRecord } from './record.ts';
import { RECORD_VERSION } from './record.ts';

export const STATE_FILE = 'state.json';
export const CONTROL_SOCKET = 'control.sock';
/** After it, a directory without state.json is nobody's. */
const CLAIM_MS = 10_000;

/** As runc has it: letters, digits and `_ + - .`, and no name that a path would understand. */
export function checkId(id: string): void {
  if (!/^[\w+.-]{1,1024}$/.test(id) || id === '.' || id === '..') throw ociError('invalidId', JSON.stringify(id));
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
      throw new UserError(
        `the directory ${root} cannot be read (${(error as NodeJS.ErrnoException).code}); check --root.`,
        EXIT_OCI_FAILURE,
      );
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

  /** Never half of it, whoever is killed. It need not survive the host's own end: no container does. */
  write(record: ContainerRecord): void {
    const fresh = join(this.path, `${STATE_FILE}.${process.pid}`);
    writeFileSync(fresh, JSON.stringify(record), { mode: 0o600 });
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
      throw new UserError(`the state of container ${this.id} cannot be read (${code}).`, EXIT_OCI_FAILURE);
    }
    const record = JSON.parse(text) as ContainerRecord;
    if (record.version !== RECORD_VERSION)
      throw new UserError(`container ${this.id} was made by another version of tsvisor.`, EXIT_OCI_FAILURE);
    return record;
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
