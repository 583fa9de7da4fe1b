/**
 * The messages between the sentry (client) and the gofer (server), over one SOCK_SEQPACKET socket, one message a datagram.
 *
 *     server → client   Hello                                     once, before anything else
 *     client → server   header, body of `request`                 several may be under way
 *     server → client   header, errno, body of `reply` if errno is 0; perhaps descriptors (SCM_RIGHTS); in the order of the requests
 *
 * Header: length u32 (of the whole message), type u16, tag u16 (returned as it came). A reply has REPLY set in its type. `Release` has no
 * reply. Files are named by fids: numbers from 1 to the hello's `fids`, chosen by the client. Binding a fid that is in use lets go what it
 * was bound to; so an LRU in the client needs no messages of its own. Fid 0 as `newFid` means: do not keep.
 *
 * Model: 9P2000.L and the multi-component walks of later protocols; own numbers and layout.
 */
import { PATH_MAX, S_IFLNK, S_IFMT } from '#sentry/abi/fs.ts';
import { attributes } from './attributes.ts';
import type { Attributes } from './attributes.ts';
import { cText, i64, list, name, record, text, u16, u32, words } from './codec.ts';
import type { WireField } from './codec.ts';
import {
  FETCHED_MAX,
  FIDS_MAX,
  LINK_TARGET_MAX,
  LISTED_TARGET_MAX,
  NAMES_MAX,
  RELEASES_MAX,
  REPORT_LINE_MAX,
  REPORT_LINES_MAX,
  TREE_GROUPS_MAX,
  XATTR_NAME_MAX,
  XATTR_VALUE_MAX,
} from './limits.ts';

export const PROTOCOL_VERSION = 4;

export const HEADER_SIZE = 8;
/** Header and errno. */
export const REPLY_HEADER_SIZE = 12;
/** Set in the type of every message from the server. */
export const REPLY = 0x8000;

export interface Message<Q, P> {
  readonly type: number;
  readonly name: string;
  readonly request: WireField<Q>;
  readonly reply: WireField<P>;
}

function message<Q, P>(type: number, messageName: string, request: WireField<Q>, reply: WireField<P>): Message<Q, P> {
  return { type, name: messageName, request, reply };
}

const nothing = record({});
const names = list(name, NAMES_MAX);
const withAttributes = record({ attributes });

/** How a mount is served. */
export const MOUNT_READ_ONLY = 1;
/** The root is a file, not a directory. */
export const MOUNT_FILE = 2;
/** Owners are told as the container knows them: those that a descriptor of the host tells are others. */
export const MOUNT_IDS_MAPPED = 4;

/**
 * The server's first message. `report`: what was done to confine it, and what could not be. `window`: bytes of the memory that both sides
 * share, whose descriptor comes along; 0: there is none. `watches` 1: then comes that of an inotify instance (Watch).
 */
export const Hello = message(
  0,
  'hello',
  nothing,
  record({ version: u32, fids: u32, mounts: u32, window: u32, watches: u32, report: list(text(REPORT_LINE_MAX), REPORT_LINES_MAX) }),
);

/** Binds `fid` to the root of mount `mount`. */
export const Attach = message(1, 'attach', record({ mount: u16, fid: u32 }), record({ mountFlags: u32, attributes }));

/**
 * Goes from `fid` along `names`. `reached` are the attributes of each component found, in order. It stops behind a component that is not
 * a directory (`stop` 0 or ENOTDIR) or at one that cannot be reached (`stop`: its errno). Symbolic links are never followed: if the last
 * component reached is one, `target` is where it points. `newFid` is bound only if every name was reached.
 */
export const Walk = message(
  2,
  'walk',
  record({ fid: u32, newFid: u32, names }),
  record({ reached: list(attributes, NAMES_MAX), stop: u32, target: text(PATH_MAX) }),
);

export const GetAttributes = message(3, 'getattr', record({ fid: u32 }), withAttributes);

/**
 * Opens what `names` lead to from `fid` (no names: `fid` itself), a regular file or a directory; the descriptor comes with the reply.
 * `flags`: the access mode and what OPEN_FLAGS allows. Intermediate components must be directories.
 */
export const Open = message(4, 'open', record({ fid: u32, newFid: u32, names, flags: u32 }), withAttributes);

/** A new regular file, exclusively; the descriptor comes with the reply. */
export const Create = message(
  5,
  'create',
  record({ directory: u32, name, newFid: u32, flags: u32, mode: u32, uid: u32, gid: u32 }),
  withAttributes,
);

export const Mkdir = message(6, 'mkdir', record({ directory: u32, name, newFid: u32, mode: u32, uid: u32, gid: u32 }), withAttributes);

export const Symlink = message(
  7,
  'symlink',
  record({ directory: u32, name, target: cText(LINK_TARGET_MAX), uid: u32, gid: u32 }),
  withAttributes,
);

export const Link = message(8, 'link', record({ fid: u32, directory: u32, name }), withAttributes);

/** Only regular files, FIFOs and sockets can be made. */
export const Mknod = message(9, 'mknod', record({ directory: u32, name, newFid: u32, mode: u32, uid: u32, gid: u32 }), withAttributes);

/** `flags`: 0 or AT_REMOVEDIR. */
export const Unlink = message(10, 'unlink', record({ directory: u32, name, flags: u32 }), nothing);

/** `flags`: RENAME_NOREPLACE or RENAME_EXCHANGE. */
export const Rename = message(11, 'rename', record({ directory: u32, name, newDirectory: u32, newName: name, flags: u32 }), nothing);

export const Readlink = message(12, 'readlink', record({ fid: u32 }), record({ target: text(PATH_MAX) }));

/** Bits of `mask`. */
export const SET_MODE = 1;
export const SET_UID = 2;
export const SET_GID = 4;
export const SET_SIZE = 8;
export const SET_ATIME = 16;
export const SET_MTIME = 32;
export const SET_ALL = 63;

export const SetAttributes = message(
  13,
  'setattr',
  record({
    fid: u32,
    mask: u32,
    mode: u32,
    uid: u32,
    gid: u32,
    size: i64,
    atimeSec: i64,
    atimeNsec: u32,
    mtimeSec: i64,
    mtimeNsec: u32,
  }),
  withAttributes,
);

export const Statfs = message(
  14,
  'statfs',
  record({ fid: u32 }),
  record({ type: u32, blockSize: u32, blocks: i64, blocksFree: i64, blocksAvailable: i64, files: i64, filesFree: i64, nameLength: u32 }),
);

/** Entries of a directory: names[i] has attributes[i]. Arrays of their own, for there are hundreds of them in a message. */
export interface DirectoryEntries {
  readonly names: readonly string[];
  readonly attributes: readonly Attributes[];
  /** Where symbolic links point, by name; those that are not too long. */
  readonly targets: ReadonlyMap<string, string>;
}

const listedTarget = text(LISTED_TARGET_MAX);

/** A count, then name and attributes of each, and of a symbolic link its target; empty if it is not told. */
const directoryEntries: WireField<DirectoryEntries> = {
  write(writer, value) {
    u16.write(writer, value.names.length);
    value.names.forEach((entry, i) => {
      name.write(writer, entry);
      attributes.write(writer, value.attributes[i]!);
      if (isLink(value.attributes[i]!)) listedTarget.write(writer, value.targets.get(entry) ?? '');
    });
  },
  read(reader) {
    const count = u16.read(reader);
    const names: string[] = [];
    const all: Attributes[] = [];
    const targets = new Map<string, string>();
    for (let i = 0; i < count && !reader.malformed; i++) {
      const entry = name.read(reader);
      const each = attributes.read(reader);
      names.push(entry);
      all.push(each);
      const target = isLink(each) ? listedTarget.read(reader) : '';
      if (target !== '') targets.set(entry, target);
    }
    return { names, attributes: all, targets };
  },
};

function isLink({ mode }: Attributes): boolean {
  return (mode & S_IFMT) === S_IFLNK;
}

/** End of a directory: `end` of a Readdir reply. */
export const READDIR_END = 1;

/**
 * Entries of the directory that `names` lead to from `fid` (bound to `newFid`, unless that is 0), from `cookie` on ([0, 0]: the beginning), without '.' and '..', each with its attributes; as many as fit a message. Go on at
 * `next` until `end` is READDIR_END. `watch` 1: the directory is watched from before it is read, as by Watch, and `wd` tells as what; -1: it is not. An entry that vanished meanwhile is left out, so a reply may be empty without being the end.
 */
export const Readdir = message(
  15,
  'readdir',
  record({ fid: u32, newFid: u32, names, cookie: words, watch: u16 }),
  record({ attributes, entries: directoryEntries, end: u16, next: words, wd: i64 }),
);

const xattrName = cText(XATTR_NAME_MAX);
const xattrValue = text(XATTR_VALUE_MAX);

export const Getxattr = message(16, 'getxattr', record({ fid: u32, name: xattrName }), record({ value: xattrValue }));
export const Setxattr = message(17, 'setxattr', record({ fid: u32, name: xattrName, value: xattrValue, flags: u32 }), nothing);
/** Names, each ended by NUL, as listxattr(2) gives them. */
export const Listxattr = message(18, 'listxattr', record({ fid: u32 }), record({ names: xattrValue }));
export const Removexattr = message(19, 'removexattr', record({ fid: u32, name: xattrName }), nothing);

/** `dataOnly` 1: fdatasync. */
export const Fsync = message(20, 'fsync', record({ fid: u32, dataOnly: u32 }), nothing);

/** Lets go of fids. No reply. */
export const Release = message(21, 'release', record({ fids: list(u32, Math.min(RELEASES_MAX, FIDS_MAX)) }), nothing);

/** Directories that lie in the one that `names` lead to from `fid`. */
export interface TreeGroup {
  readonly fid: number;
  readonly names: readonly string[];
  readonly directories: readonly string[];
}

const treeGroup: WireField<TreeGroup> = record({ fid: u32, names, directories: list(name, NAMES_MAX) });

/** One directory of a tree: it is called `name` in that of group `parent`, or in that of section `parent` - the number of groups. */
export interface TreeSection {
  readonly parent: number;
  readonly name: string;
  readonly attributes: Attributes;
  readonly entries: DirectoryEntries;
}

const treeSection: WireField<TreeSection> = {
  write(writer, value) {
    u16.write(writer, value.parent);
    name.write(writer, value.name);
    attributes.write(writer, value.attributes);
    directoryEntries.write(writer, value.entries);
  },
  read(reader) {
    return {
      parent: u16.read(reader),
      name: name.read(reader),
      attributes: attributes.read(reader),
      entries: directoryEntries.read(reader),
    };
  },
};

/**
 * Lists directories, and what lies below each of them, depth first, for as long as the reply has `room`: what somebody who searches the tree
 * will ask for next. Only complete directories are told. One that cannot be listed is left out; so is one that lies on another file system or is
 * large, and the list ends with the first that does not fit.
 */
export const Tree = message(
  22,
  'tree',
  record({ groups: list(treeGroup, TREE_GROUPS_MAX), room: u32 }),
  record({ sections: list(treeSection, 0xffff) }),
);

/** What became of one file of a Fetch. */
export const FETCH_FAILED = 0;
/** Its bytes lie in the window, `length` of them. */
export const FETCH_CONTENT = 1;
/** It is larger than wanted: a descriptor for reading comes along, one for each such file, in their order. */
export const FETCH_DESCRIPTOR = 2;

export interface Fetched {
  readonly kind: number;
  readonly length: number;
  readonly attributes: Attributes;
}

const fetched: WireField<Fetched> = {
  write(writer, value) {
    u16.write(writer, value.kind);
    u32.write(writer, value.length);
    attributes.write(writer, value.attributes);
  },
  read(reader) {
    return { kind: u16.read(reader), length: u32.read(reader), attributes: attributes.read(reader) };
  },
};

/** Files of the directory that `names` lead to from `fid`. */
export interface FetchGroup {
  readonly fid: number;
  readonly names: readonly string[];
  readonly files: readonly string[];
}

const fetchGroup: WireField<FetchGroup> = record({ fid: u32, names, files: list(name, FETCHED_MAX) });

/**
 * Reads regular files of some directories: those of at most `limit` bytes whole into the window, one behind the
 * other (`fetchedExtent`) in the `room` bytes from `at` on; of larger ones it opens the first few. The reply tells of
 * the first of all files, as many as were got through. Nothing but regular files is touched.
 */
export const Fetch = message(
  23,
  'fetch',
  record({ groups: list(fetchGroup, FETCHED_MAX), at: u32, room: u32, limit: u32 }),
  record({ files: list(fetched, FETCHED_MAX) }),
);

/**
 * A mount that was writable so that a tree could be prepared becomes read-only for ever. Every fid of it is let go, and `fid` is bound to its root as by
 * Attach. EINVAL unless the mount was configured to be made read-only later.
 */
export const MakeReadOnly = message(24, 'make-read-only', record({ mount: u16, fid: u32 }), withAttributes);

/**
 * A regular file without a name on the file system of a directory (O_TMPFILE); the descriptor comes with the reply. `flags`: as for Create, perhaps with
 * O_EXCL: it can never be given a name.
 */
export const Tmpfile = message(
  25,
  'tmpfile',
  record({ directory: u32, newFid: u32, flags: u32, mode: u32, uid: u32, gid: u32 }),
  withAttributes,
);

/**
 * Watches a directory until something changes there: `wd` is what the inotify instance of the hello calls it. EOPNOTSUPP where not every change would be
 * told.
 */
export const Watch = message(26, 'watch', record({ fid: u32 }), record({ wd: i64 }));

/** How far behind the beginning of a file of `length` bytes the next one begins. A byte more than the file has is read, to see its end. */
export function fetchedExtent(length: number): number {
  return Math.ceil((length + 1) / FETCH_ALIGNMENT) * FETCH_ALIGNMENT;
}
const FETCH_ALIGNMENT = 64;
