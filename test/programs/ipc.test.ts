/** IPC as programs use it: the tools of util-linux, perl, and Unix sockets whose names lie in directories of the host. */
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { expectSame, inScratch } from '../harness/expect-same.ts';
import { needsPrograms } from '../harness/needs-programs.ts';
import { insideCommand, runInside, runNative } from '../harness/run.ts';

const python = '/usr/bin/python3';

describe('System V IPC', () => {
  test('ipcmk, ipcs, lsipc and ipcrm', async (context) => {
    needsPrograms(context, 'ipcmk', 'ipcs', 'ipcrm', 'lsipc');
    await expectSame([
      '/bin/bash',
      '-ec',
      `m=$(ipcmk -M 12345 -p 640 | grep -o '[0-9]*$') s=$(ipcmk -S 5 | grep -o '[0-9]*$') q=$(ipcmk -Q -p 600 | grep -o '[0-9]*$')
      ipcs -m -i $m | grep -E 'bytes|mode' | sed 's/cpid=[0-9]*//'; ipcs -s -i $s | grep -E 'nsems|mode|^[0-4] '; ipcs -q -i $q | grep -E 'qnum|mode'
      for kind in m s q; do ipcs -$kind | grep '^key'; done
      ipcs -m | awk -v id=$m '$2 == id { print $4, $5, $6 }'; ipcs -s | awk -v id=$s '$2 == id { print $4, $5 }'; ipcs -q | awk -v id=$q '$2 == id { print $4, $5, $6 }'
      ipcs -l | grep -v -E 'max queues|max seg size|max total'
      lsipc -m -i $m -o SIZE,NATTCH,PERMS,STATUS -J; lsipc -s -i $s -o NSEMS,PERMS -J
      ipcrm -m $m -s $s -q $q; ipcrm -m $m 2>/dev/null || echo gone`,
    ]);
  });

  test('perl', async (context) => {
    needsPrograms(context, 'perl');
    const source = `
      use strict; use IPC::SysV qw(:all);
      my ($m, $s, $q) = (shmget(IPC_PRIVATE, 100, 0600), semget(IPC_PRIVATE, 2, 0600), msgget(IPC_PRIVATE, 0600));
      my $pid = fork;
      if (!$pid) {
        semop($s, pack 's3', 0, -1, 0) or die; shmread($m, my $text, 0, 11) or die;
        msgsnd($q, pack('l! a*', 7, scalar reverse $text), 0) or die; exit 5;
      }
      shmwrite($m, 'hello there', 0, 11) or die; semop($s, pack 's3', 0, 1, 0) or die;
      msgrcv($q, my $message, 100, 0, 0) or die; waitpid $pid, 0;
      print join(' ', unpack('l! a*', $message), $? >> 8, semctl($s, 0, GETVAL, 0)), "\\n";
      print join(' ', map { defined $_ ? $_ : 'undef' } shmctl($m, IPC_RMID, 0), semctl($s, 0, IPC_RMID, 0), msgctl($q, IPC_RMID, 0)), "\\n";
      semop($s, pack 's3', 0, 1, 0) or print "$!\\n";`;
    await expectSame(['perl', '-e', source]);
  });
});

describe('a Unix socket in a directory of the host', () => {
  const source = `
import os, socket, sys
name = sys.argv[1] + '/s'
def connect(to):
    client = socket.socket(socket.AF_UNIX)
    try: client.connect(to)
    except OSError as error: return error.strerror
    served = server.accept()[0]
    client.sendall(b'over the name'); client.close()
    return served.recv(100), served.getsockname() == to
server = socket.socket(socket.AF_UNIX); server.bind(name); server.listen()
print(oct(os.stat(name).st_mode), connect(name))
try: socket.socket(socket.AF_UNIX).bind(name)
except OSError as error: print(error.strerror)
os.rename(name, name + '2'); os.link(name + '2', name + '3')
print(connect(name), connect(name + '2')[0], connect(name + '3')[0])
os.unlink(name + '2'); os.unlink(name + '3')
print(connect(name + '2'))
datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); datagram.bind(name + 'd')
print(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', name + 'd'), datagram.recv(9))
server.close(); server = socket.socket(socket.AF_UNIX); server.bind(name); server.close()
print(connect(name), sorted(os.listdir(sys.argv[1])))
`;

  test('is bound, found and left behind as on Linux, and can be removed from outside', async (context) => {
    needsPrograms(context, python);
    await inScratch(async (directory) => {
      const shared = join(directory, 'shared');
      const overlay = await runInside([python, '-c', source, '/tmp']);
      mkdirSync(shared);
      chmodSync(shared, 0o777);
      const inside = await runInside([python, '-c', source, shared], { args: ['--rw', shared] });
      expect(inside.status, inside.stderr).toBe(0);
      expect(inside.stdout.replaceAll(shared, '/tmp')).toBe(overlay.stdout.replace(/\[.*\]/, "['s', 'sd']"));
      expect(readdirSync(shared).toSorted()).toEqual(['s', 'sd']);
      expect(lstatSync(join(shared, 's')).isSocket()).toBe(true);
      rmSync(join(shared, 's'));
      expect(existsSync(join(shared, 's'))).toBe(false);
    });
  });

  test('is no way to what listens on the host', async (context) => {
    needsPrograms(context, python);
    const listens = `
import os, socket, subprocess, sys
name = sys.argv[1] + '/host'
server = socket.socket(socket.AF_UNIX); server.bind(name); server.listen(); os.chmod(name, 0o777); server.settimeout(0)
inside = 'import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])'
print(subprocess.run(sys.argv[2:] + ['--', '${python}', '-c', inside, name], capture_output=True).stderr.decode().splitlines()[-1])
try: server.accept()
except BlockingIOError: print('nobody came')
`;
    await inScratch(async (directory) => {
      const [command, ...args] = insideCommand([], ['--rw', directory]).slice(0, -1);
      const outcome = await runNative([python, '-c', listens, directory, command!, ...args]);
      expect(outcome.stdout, outcome.stderr).toBe('ConnectionRefusedError: [Errno 111] Connection refused\nnobody came\n');
    });
  });
});
