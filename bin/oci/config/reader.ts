/**
 * Readers turn a JSON value into a checked one, or stop with a message that names the field, what was wrong and what is allowed. A structure
 * is one table of fields:
 *
 *     const readRoot = object({ path: required(hostPath), readonly: optional(flag, false) });
 *     const root = readRoot(JSON.parse(text), new Place(report, 'config.json').at('root'));
 *
 * Every field of the specification has an entry: what is not supported is `refused` or `ignored` with a warning, and a field that no table
 * knows is a warning too, so nothing disappears silently. `null` counts as absent, since Go's encoder writes it for empty values.
 * No library: a client starts the runtime for every verb, and loading one costs more than reading the file.
 */
import { toBytes } from '../../byte-text.ts';
import { UserError } from '../../errors.ts';
import { EXIT_OCI_FAILURE } from '../errors.ts';
import { FIELD_LIST_MAX } from './limits.ts';

/** Collects what is worth saying but does not stop. */
export interface Report {
  readonly warnings: string[];
}

/** Where in the document a value stands, while it is read: readers do not keep it. The text of it is only made for a message. */
export class Place {
  private readonly report: Report;
  private readonly parent: Place | null;
  private name: string | number;

  constructor(report: Report, name: string | number, parent: Place | null = null) {
    this.report = report;
    this.name = name;
    this.parent = parent;
  }

  at(name: string | number): Place {
    return new Place(this.report, name, this);
  }

  /** Becomes the place of a sibling: one object serves for all entries of a list. */
  moveTo(name: string | number): this {
    this.name = name;
    return this;
  }

  /** Such as `config.json: process.args[0]`. */
  toString(): string {
    if (this.parent === null) return String(this.name);
    const before = this.parent.toString();
    if (typeof this.name === 'number') return `${before}[${this.name}]`;
    const name = /^[\w-]+$/.test(this.name) ? this.name : JSON.stringify(shorten(this.name));
    return this.parent.parent === null ? `${before}: ${name}` : `${before}.${name}`;
  }

  fail(sentence: string): never {
    throw new UserError(`${this.toString()} ${sentence}`, EXIT_OCI_FAILURE);
  }

  warn(sentence: string): void {
    this.report.warnings.push(`${this.toString()} ${sentence}`);
  }
}

export type Reader<T> = (value: unknown, place: Place) => T;

function shorten(text: string): string {
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

/** A value as a message shows it. */
export function shown(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  if (typeof value === 'bigint') return String(value);
  return shorten(JSON.stringify(value));
}

/** `a, b or c`. */
export function alternatives(names: readonly string[]): string {
  return names.length < 2 ? names.join() : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
}

// --- single values

export const flag: Reader<boolean> = (value, place) => {
  if (typeof value !== 'boolean') return place.fail(`must be true or false, not ${shown(value)}`);
  return value;
};

/** Text for the runtime itself: identifiers, annotations. */
export const text: Reader<string> = (value, place) => {
  if (typeof value !== 'string') return place.fail(`must be a string, not ${shown(value)}`);
  if (value.includes('\0')) place.fail('must not contain a null character');
  return value;
};

export const nonEmptyText: Reader<string> = (value, place) => {
  const read = text(value, place);
  if (read === '') place.fail('must not be empty');
  return read;
};

/** What reaches the guest or the host's file system: a byte string. */
export const bytes: Reader<string> = (value, place) => toBytes(text(value, place));

export const absolutePath: Reader<string> = (value, place) => {
  const path = bytes(value, place);
  if (!path.startsWith('/')) place.fail(`must be an absolute path, not ${shown(value)}`);
  return path;
};

/** A whole number; what JSON.parse would have rounded arrives as a BigInt (see `parseJson`). */
export function integer(min: number, max: number): Reader<number> {
  return (value, place) => {
    if (typeof value !== 'bigint' && !Number.isInteger(value)) place.fail(`must be a whole number, not ${shown(value)}`);
    const number = Number(value);
    if (number < min || number > max) place.fail(`must be between ${min} and ${max}, not ${shown(value)}`);
    return number;
  };
}

/** An identifier, mode or device number: 32 bits. */
export const uint32 = integer(0, 0xffff_ffff);
/** -1 where there is no limit. Beyond 2^53 neighbouring values are the same number, which no limit notices. */
export const int64 = integer(-(2 ** 63), 2 ** 63);
export const uint64 = integer(0, 2 ** 64);

/** One of the names of a table, as its value. */
export function named<T>(values: Readonly<Record<string, T>>): Reader<T> {
  return (value, place) => {
    if (typeof value === 'string' && Object.hasOwn(values, value)) return values[value]!;
    return place.fail(`must be ${alternatives(Object.keys(values))}, not ${shown(value)}`);
  };
}

export function oneOf<const T extends string>(names: readonly T[]): Reader<T> {
  return (value, place) => names.find((name) => name === value) ?? place.fail(`must be ${alternatives(names)}, not ${shown(value)}`);
}

// --- several values

export function list<T>(element: Reader<T>): Reader<T[]> {
  return (value, place) => {
    if (!Array.isArray(value)) return place.fail(`must be a list, not ${shown(value)}`);
    if (value.length > FIELD_LIST_MAX) place.fail(`has ${value.length} entries; at most ${FIELD_LIST_MAX} are read`);
    const child = place.at(0);
    return value.map((entry, index) => element(entry, child.moveTo(index)));
  };
}

/** A list of `nonEmptyText`. A seccomp profile has 400 names, which are all right: only one that is not is worth a closer look. */
export const names: Reader<string[]> = (value, place) => {
  if (Array.isArray(value) && value.length <= FIELD_LIST_MAX && value.every(isName)) return value as string[];
  return list(nonEmptyText)(value, place);
};

function isName(entry: unknown): boolean {
  return typeof entry === 'string' && entry !== '' && !entry.includes('\0');
}

/** An object with names of its own choice. */
export function dictionary<T>(element: Reader<T>): Reader<[name: string, value: T][]> {
  return (value, place) => {
    const entries = Object.entries(objectAt(value, place));
    if (entries.length > FIELD_LIST_MAX) place.fail(`has ${entries.length} entries; at most ${FIELD_LIST_MAX} are read`);
    const child = place.at('');
    return entries.map(([name, entry]) => [name, element(entry, child.moveTo(name))]);
  };
}

function objectAt(value: unknown, place: Place): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) place.fail(`must be an object, not ${shown(value)}`);
  return value as Readonly<Record<string, unknown>>;
}

// --- structures

/** `T` is `never` for a field that leaves nothing in the result. */
export interface Field<T> {
  readonly read: Reader<T>;
  /** Given when the field is absent. */
  readonly fallback: Reader<T>;
  readonly kept: boolean;
}

export function required<T>(read: Reader<T>): Field<T> {
  return { read, fallback: (_value, place) => place.fail('is missing'), kept: true };
}

export function optional<T, const F>(read: Reader<T>, otherwise: F): Field<T | F> {
  return { read, fallback: () => otherwise, kept: true };
}

/** Absent, a structure is read as if it were empty: its fields have the defaults. */
export function defaulted<T>(read: Reader<T>): Field<T> {
  return { read, fallback: (_value, place) => read({}, place), kept: true };
}

const nothing = (): never => undefined as never;

/** Known to the specification and not supported: anything that would have had an effect stops. */
export function refused(sentence: string): Field<never> {
  const read: Reader<never> = (value, place) => (isEmpty(value) ? nothing() : place.fail(sentence));
  return { read, fallback: nothing, kept: false };
}

/** Known, without effect here, and said so. */
export function ignored(sentence: string): Field<never> {
  const read: Reader<never> = (value, place) => {
    if (!isEmpty(value)) place.warn(sentence);
    return nothing();
  };
  return { read, fallback: nothing, kept: false };
}

function isEmpty(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0;
  return value === '' || value === false || value === 0;
}

type Fields = Readonly<Record<string, Field<unknown>>>;
type ValueOf<F> = F extends Field<infer T> ? T : never;
type Structure<F extends Fields> = { readonly [K in keyof F as [ValueOf<F[K]>] extends [never] ? never : K]: ValueOf<F[K]> };

export function object<const F extends Fields>(fields: F): Reader<Structure<F>> {
  const table = Object.entries(fields);
  return (value, place) => {
    const given = objectAt(value, place);
    const result: Record<string, unknown> = {};
    const child = place.at('');
    for (const [name, field] of table) {
      const member = Object.hasOwn(given, name) ? given[name] : undefined;
      const read = member === undefined || member === null ? field.fallback : field.read;
      const outcome = read(member, child.moveTo(name));
      if (field.kept) result[name] = outcome;
    }
    for (const name of Object.keys(given)) if (!Object.hasOwn(fields, name)) unknownField(name, fields, place);
    return result as Structure<F>;
  };
}

/** Go reads names in any case, so a name that differs in nothing else means something to other runtimes. */
function unknownField(name: string, fields: Fields, place: Place): void {
  const meant = Object.keys(fields).find((known) => known.toLowerCase() === name.toLowerCase());
  if (meant !== undefined) place.at(name).fail(`must be written ${meant}`);
  place.at(name).warn('is not a field of the specification and is ignored');
}
