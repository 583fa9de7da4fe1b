/**
 * The directories of containers: `<root>/<id>`, each with
 *
 *     state.json       see record.ts; written whole, by rename
 *     control.sock     the sentry's socket (bin/oci/control)
 *
 * A container comes and goes with its state.json: the directory takes its place by a rename, with the file in it, and the file is the last that is
 * removed from it. So a directory without one is what somebody left who was killed, and no container.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../errors.ts';
import { EXIT_OCI_FAILURE, ociError } from '../errors.ts';
import type { ContainerRecord } from './record.ts';
import { RECORD_VERSION } from './record.ts';

export const STATE_FILE = 'state.json';
export const CONTROL_SOCKET = 'control.sock';
/** Beginning of the names of directories that are to become a container's; no id has such a character. */
const UNFINISHED = '~new-';
/** Longer than the writing of a file takes. */
const UNFINISHED_MS = 60_000;

/** As runc has it: letters, digits and `_ + - .`, and no name that a path would understand. */
export function checkId(id: string): void {
  if (!/^[\w+.-]{1,1024}$/.test(id) || id === '.' || id === '..') throw ociError('invalidId', JSON.stringify(id));
}

export class ContainerDirectory {
  readonly id: string;
  readonly path: string;
  private readonly root: string;

  constructor(root: string, id: string) {
    checkId(id);
    this.root = root;
    this.id = id;
    this.path = join(root, id);
  }

  /** The ids of all containers beneath `root`, in order. */
  static list(root: string): string[] {
    try {
      return readdirSync(root)
        .filter((name) => !name.startsWith(UNFINISHED))
        .toSorted();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw new UserError(
        `the directory ${root} cannot be read (${(error as NodeJS.ErrnoException).code}); check --root.`,
        EXIT_OCI_FAILURE,
      );
    }
  }

  /** Makes the container known, with its first `record`; false: there is one of that name. */
  claim(record: ContainerRecord): boolean {
    mkdirSync(this.root, { recursive: true, mode: 0o711 });
    this.removeUnfinished();
    const fresh = mkdtempSync(join(this.root, UNFINISHED));
    writeFileSync(join(fresh, STATE_FILE), JSON.stringify(record), { mode: 0o600 });
    try {
      // Takes the place of an empty directory, too, and of no other.
      renameSync(fresh, this.path);
      return true;
    } catch (error) {
      rmSync(fresh, { recursive: true });
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOTEMPTY' || code === 'EEXIST') return false;
      throw error;
    }
  }

  /** What those have left who were killed before the rename. */
  private removeUnfinished(): void {
    for (const name of readdirSync(this.root).filter((entry) => entry.startsWith(UNFINISHED))) {
      const path = join(this.root, name);
      const { mtimeMs } = statSync(path, { throwIfNoEntry: false }) ?? { mtimeMs: Infinity };
      if (Date.now() - mtimeMs > UNFINISHED_MS) rmSync(path, { recursive: true, force: true });
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

  /** Also what is left of one that nobody knows any more. */
  remove(): void {
    for (const name of this.names().filter((entry) => entry !== STATE_FILE))
      rmSync(join(this.path, name), { recursive: true, force: true });
    rmSync(join(this.path, STATE_FILE), { force: true });
    rmSync(this.path, { recursive: true, force: true });
  }

  private names(): string[] {
    try {
      return readdirSync(this.path);
    } catch {
      return [];
    }
  }
}
