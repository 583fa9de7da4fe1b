/** The home directory of a user, by the container's own passwd(5). */
import { O_NONBLOCK, O_RDONLY } from '#sentry/abi/fs.ts';
import { ALL_CAPABILITIES, initialCredentials } from '#sentry/vfs/credentials.ts';
import type { Task } from '#sentry/kernel/task.ts';
import { KernelIo } from '#sentry/mm/io.ts';
import { open } from '#sentry/vfs/open.ts';

const NOWHERE = '/';
/** More of the file is not looked at. */
const PASSWD_MAX = 1 << 20;
const UID = 2;
const HOME = 5;

/** `/` where the file does not tell. */
export function homeDirectory(task: Task, uid: number): string {
  const line = readPasswd(task)
    .split('\n')
    .map((text) => text.split(':'))
    .find((fields) => fields.length > HOME && fields[UID] === String(uid));
  const home = line?.[HOME] ?? '';
  return home === '' ? NOWHERE : home;
}

/** As the superuser of the container: it need not be readable for the user. */
function readPasswd({ fs, kernel, scratch }: Task): string {
  const caller = { credentials: initialCredentials(0, 0, [0], ALL_CAPABILITIES), fs, task: null };
  const file = open(caller, null, '/etc/passwd', O_RDONLY | O_NONBLOCK, 0, 0);
  if (typeof file === 'number') return '';
  let text = '';
  for (let n = 1; n > 0 && file.inode.isRegular && text.length < PASSWD_MAX; text += scratch.latin1(0, n)) {
    n = Math.max(file.read(new KernelIo(scratch, 0, kernel.scratch.bytes.length), text.length, caller), 0);
  }
  file.release();
  return text;
}
